//! Variables of the environment in the strings of the configuration file.
//!
//! - `${NAME}` is the variable's value; that it is not set is an error;
//! - `${NAME:-default}` is the default if it is not set, or empty;
//! - `$$` is a dollar sign. Any other `$` is an error: it was meant for one of these.
//!
//! What a value holds is not looked into again: a `$` in it is a `$`.

use std::env::VarError;

/// Looks up a variable.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Result<String, VarError>;

/// Puts the values of variables into a text. Errors name the variable, never a value: what is wrong, and what to do.
pub(crate) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((plain, after)) = rest.split_once('$') {
        expanded.push_str(plain);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let variable = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((inside, after)) = variable else {
            let what = "a `$` that begins no variable".to_string();
            return Err((what, "write ${NAME} or ${NAME:-default}, or $$ for a dollar sign".into()));
        };
        expanded.push_str(&value(inside, lookup)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value(inside: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let what = format!("${{{inside}}} names no variable");
        return Err((what, "a name has letters, digits and '_', and does not begin with a digit".into()));
    }
    match (lookup(name), default) {
        (Ok(value), Some(default)) if value.is_empty() => Ok(default.to_string()),
        (Ok(value), _) => Ok(value),
        (Err(VarError::NotPresent), Some(default)) => Ok(default.to_string()),
        (Err(VarError::NotPresent), None) => Err((
            format!("the variable {name} is not set in the environment"),
            format!("set it, or write a default: ${{{name}:-…}}"),
        )),
        (Err(VarError::NotUnicode(_)), _) => {
            Err((format!("the variable {name} of the environment is no text"), "set it to UTF-8".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Result<String, VarError> {
        match name {
            "BUCKET" => Ok("logs".into()),
            "EMPTY" => Ok(String::new()),
            "ODD" => Ok("a${BUCKET}$$b}".into()),
            "BYTES" => Err(VarError::NotUnicode("x".into())),
            _ => Err(VarError::NotPresent),
        }
    }

    fn expanded(text: &str) -> String {
        expand(text, &environment).unwrap()
    }

    #[test]
    fn variables_defaults_and_dollar_signs() {
        for (text, value) in [
            ("plain {stem}", "plain {stem}"),
            ("s3://${BUCKET}/${BUCKET}", "s3://logs/logs"),
            ("${NONE:-x}${NONE:-}${BUCKET:-x}", "xlogs"),
            ("[${EMPTY}][${EMPTY:-x}]", "[][x]"),
            ("$$$${BUCKET}$$", "$${BUCKET}$"),
            ("${NONE:-a:-b}", "a:-b"),
        ] {
            assert_eq!(expanded(text), value, "{text}");
        }
    }

    #[test]
    fn values_are_not_looked_into_again() {
        assert_eq!(expanded("${ODD}"), "a${BUCKET}$$b}");
    }

    #[test]
    fn what_is_no_variable_or_not_set_is_refused_by_name() {
        for (text, why) in [
            ("${NONE}", "the variable NONE is not set"),
            ("$HOME/x", "begins no variable"),
            ("${BUCKET", "begins no variable"),
            ("x$", "begins no variable"),
            ("${}", "names no variable"),
            ("${1A}", "names no variable"),
            ("${A B}", "names no variable"),
            ("${BYTES}", "is no text"),
            ("${BYTES:-x}", "is no text"),
        ] {
            let (what, _) = expand(text, &environment).unwrap_err();
            assert!(what.contains(why), "{text}: {what}");
        }
    }
}
