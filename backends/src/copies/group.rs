//! Which objects are kept in order among each other.

use walkeep_core::ObjectPath;

/// The folder of a namespace, for anything in one of its folders: two components less. What lies higher is grouped by
/// its first component.
pub(crate) fn group_of(path: &ObjectPath) -> ObjectPath {
    let text = path.as_str();
    let mut slashes = text.rmatch_indices('/').map(|(at, _)| at);
    let above = slashes.next();
    let end = slashes.next().or(above).unwrap_or(text.len());
    // A part of a path, cut at a component, is a path.
    text.get(..end).and_then(|group| ObjectPath::new(group).ok()).unwrap_or_else(|| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_manifests_of_a_namespace_are_one_group() {
        let group = |path: &str| group_of(&ObjectPath::new(path).unwrap()).to_string();
        assert_eq!(group("namespaces/shop/segments/1"), "namespaces/shop");
        assert_eq!(group("namespaces/shop/manifest/1.json"), "namespaces/shop");
        assert_eq!((group("a/b/c").as_str(), group("a/b").as_str(), group("a").as_str()), ("a", "a", "a"));
    }
}
