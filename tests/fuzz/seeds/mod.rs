//! Where the corpus comes from: inputs encoded from real values. `scripts/fuzz --write-corpus` writes them; a test keeps
//! them as they are, since a changed encoding would make the corpus one of refused inputs without a word.

mod binary;
mod region_calls;
mod text;
pub(crate) mod values;

/// An input: its target, its name and its bytes.
pub(crate) type Seed = (&'static str, String, Vec<u8>);

/// All inputs that can be made again. Certificates are not among them: each has keys of its own.
pub(crate) fn all() -> Vec<Seed> {
    [
        binary::messages(),
        binary::mesh_messages(),
        region_calls::all(),
        binary::stored(),
        binary::snapshots(),
        binary::keys(),
        binary::logs(),
        text::all(),
    ]
    .concat()
}

/// New certificates, with new keys.
pub(crate) fn certificates() -> Vec<Seed> {
    binary::certificates()
}

/// Numbered inputs that must be accepted.
fn valid(target: &'static str, inputs: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seed> {
    numbered(target, "valid", inputs)
}

/// Numbered inputs that must be refused.
fn refused(target: &'static str, inputs: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seed> {
    numbered(target, "refused", inputs)
}

fn numbered(target: &'static str, kind: &str, inputs: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seed> {
    let named = inputs.into_iter().enumerate();
    named
        .map(|(number, input)| (target, format!("{kind}-{number:02}"), input))
        .collect()
}
