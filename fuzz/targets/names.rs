//! Any text as a name of anything: refused, or one spelling that reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walkeep_core::{Layout, libsql};
use walkeep_core::{LogId, Namespace, NativeLayout, ObjectPath, SegmentKey};

fuzz_target!(|text: &str| {
    if let Ok(key) = text.parse::<SegmentKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<libsql::ObjectKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(id) = text.parse::<LogId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(path) = ObjectPath::new(text) {
        assert!(!path.as_str().split('/').any(|part| part.is_empty() || part == "." || part == ".."));
        let _ = libsql::ObjectName::parse(&path);
        let namespace = Namespace::new("a").expect("a good name");
        let layout = NativeLayout::new().expect("a layout");
        let _ = layout.parse_segment(&namespace, &path);
        let _ = layout.parse_manifest(&namespace, &path);
    }
});
