//! Rows and summaries of one partition, read from the store and decoded.

use crate::model::ids::PartitionId;
use crate::model::record::{RecordId, RowId};
use crate::model::rows::Row;
use crate::model::workspace::{RowSource, Summary};
use crate::ports::store::{Family, Store, StoreError};
use crate::wire::codec::DecodeError;
use crate::wire::keys::names::NameKey;
use crate::wire::keys::row::RowKey;
use crate::wire::values;

/// Why stored data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not what this version writes.
    #[error("stored data is damaged or of a newer version; run `atoll verify` on the data folder")]
    Decode(#[from] DecodeError),
}

/// The rows of one partition.
pub struct StoredRows<'a> {
    /// Where they are.
    pub store: &'a dyn Store,
    /// Which partition.
    pub partition: PartitionId,
}

impl std::fmt::Debug for StoredRows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredRows({})", self.partition)
    }
}

impl RowSource for StoredRows<'_> {
    type Error = ReadError;

    fn row(&self, id: &RowId) -> Result<Option<Row>, ReadError> {
        let bytes = self
            .store
            .get(Family::Rows, &RowKey::encode(self.partition, id))?;
        Ok(bytes
            .map(|bytes| values::decode_row(id.record.record_type, &bytes))
            .transpose()?)
    }

    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, ReadError> {
        let bytes = self.store.get(Family::Names, &NameKey::encode(id))?;
        Ok(bytes.map(|bytes| values::decode_summary(&bytes)).transpose()?)
    }
}
