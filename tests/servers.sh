# What the scripts that run a command with a server have in common (with-s3, with-juicefs, with-azurite).
# Such a script sets `server`, an array, to the command that runs the server, defines `is_ready`, and calls `run_with`.
set -euo pipefail

script=tests/$(basename "$0")

say() {
    echo "$script: $*" >&2
}

if [ $# -eq 0 ]; then
    echo "usage: $script COMMAND [ARGUMENT...]" >&2
    exit 2
fi

# Whether the environment names a server: then each of PREFIX_NAME must be set.
is_named() { # PREFIX NAME...
    local prefix=$1 endpoint="$1_ENDPOINT" variable
    if [ -z "${!endpoint:-}" ]; then
        return 1
    fi
    for variable in "${@:2}"; do
        variable="${prefix}_$variable"
        if [ -z "${!variable:-}" ]; then
            say "$endpoint is set, but $variable is not"
            exit 2
        fi
    done
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/walkeep-tests

# Installs a package from PyPI into a folder of the cache, unless the program is there.
from_pypi() { # FOLDER PROGRAM PACKAGE==VERSION HINT
    if [ ! -x "$1/bin/$2" ]; then
        python3 -m venv "$1" && "$1/bin/pip" install -q "$3" || {
            rm -rf "$1"
            say "$3 cannot be installed; on Debian: apt-get install python3-venv, or $4"
            exit 1
        }
    fi
}

# The first of so many free ports in a row, between 20000 and 22000; the ports 10,000 higher are free too.
free_ports() { # COUNT
    python3 - "$1" <<'PYTHON'
import random, socket, sys

def free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

count = int(sys.argv[1])
while True:
    base = random.randrange(20000, 22000)
    if all(free(port + high) for port in range(base, base + count) for high in (0, 10000)):
        print(base)
        break
PYTHON
}

# Whether something listens on a port of this machine.
listens() { # PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
log=$directory/log
: >"$log"

# Stops the server, whose processes are a group: with some time to end, and then without.
stop() { # PID
    kill -- "-$1" 2>/dev/null || true
    for _ in $(seq 50); do
        kill -0 -- "-$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# Runs the server until the command ends.
run_with() { # NAME COMMAND...
    local name=$1
    shift
    # In a group of its own: what is started may be a script that starts the server.
    set -m
    "${server[@]}" >"$log" 2>&1 &
    pid=$!
    set +m
    trap 'stop "$pid"; rm -rf "$directory"' EXIT
    for _ in $(seq 600); do
        if ! kill -0 "$pid" 2>/dev/null; then
            say "$name did not start:"
            tail -20 "$log" >&2
            exit 1
        fi
        if is_ready; then
            "$@"
            exit
        fi
        sleep 0.1
    done
    say "$name did not answer within a minute:"
    tail -20 "$log" >&2
    exit 1
}
