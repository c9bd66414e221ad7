//! The checksum over a whole object: CRC-64/NVME, which S3 also knows.

/// A running CRC-64/NVME.
#[derive(Clone)]
pub struct ObjectChecksum(crc64fast_nvme::Digest);

impl ObjectChecksum {
    /// The checksum of no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(crc64fast_nvme::Digest::new())
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.sum64()
    }
}

impl Default for ObjectChecksum {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ObjectChecksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectChecksum({:016x})", self.value())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_crc_64_nvme() {
        let mut checksum = super::ObjectChecksum::new();
        checksum.update(b"1234");
        checksum.update(b"56789");
        assert_eq!(checksum.value(), 0xae8b_1486_0a79_9888, "the published check value");
    }
}
