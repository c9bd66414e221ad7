//! Whether a store must be able to tell two writers of a namespace apart.

/// What a [`Bucket`](crate::Bucket) demands of its store before a [`Writer`](crate::Writer) may use it.
///
/// Fencing rests on one thing: of several creates of one name, one succeeds. Some servers that speak S3 ignore that a
/// request is create-only (`If-None-Match: *`) and overwrite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fencing {
    /// Each opening tries it out with its claim, and a store that fails is refused.
    #[default]
    Required,
    /// Nothing is tried out. On a store that overwrites, two writers at once may both be told that their frames are
    /// durable, and those of one are lost: that there is only one, the caller must see to.
    Unfenced,
}
