//! Following a listing page by page. Pure.
//!
//! Invariant: a listing ends, since a node whose cursor does not move is an error.

use crate::cli::error::CliError;
use crate::model::limits;

/// How far a listing has come.
#[derive(Debug)]
pub(crate) struct Pages {
    after: Option<String>,
    remaining: Option<u64>,
}

impl Pages {
    /// Starts after `after`, if given, and ends after `limit` entries, if given.
    pub(crate) fn new(after: Option<String>, limit: Option<u64>) -> Self {
        Self {
            after,
            remaining: limit,
        }
    }

    /// Where the next page starts.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// How many entries to ask for; 0 when enough were shown.
    pub(crate) fn page_size(&self) -> usize {
        let page = limits::LISTING_DEFAULT;
        self.remaining.map_or(page, |remaining| {
            usize::try_from(remaining).map_or(page, |n| n.min(page))
        })
    }

    /// Takes note of a page; whether there is another one to ask for.
    pub(crate) fn advance(&mut self, received: usize, next: Option<String>) -> Result<bool, CliError> {
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(received as u64);
            if *remaining == 0 {
                return Ok(false);
            }
        }
        let Some(next) = next else { return Ok(false) };
        if self.after.as_ref() == Some(&next) {
            return Err(CliError::Input(
                "the node gave the same page again, so the listing would not end; is it of another version?"
                    .to_owned(),
            ));
        }
        self.after = Some(next);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_ends_with_the_last_page_or_at_the_limit() {
        let mut pages = Pages::new(None, None);
        assert!(pages.advance(1000, Some("k".to_owned())).unwrap());
        assert_eq!(pages.after(), Some("k"));
        assert!(!pages.advance(3, None).unwrap());

        let mut pages = Pages::new(None, Some(1500));
        assert_eq!(pages.page_size(), 1000);
        assert!(pages.advance(1000, Some("k".to_owned())).unwrap());
        assert_eq!(pages.page_size(), 500);
        assert!(!pages.advance(500, Some("l".to_owned())).unwrap());
    }

    #[test]
    fn a_cursor_that_stands_still_is_an_error() {
        let mut pages = Pages::new(Some("k".to_owned()), None);
        assert!(pages.advance(1, Some("k".to_owned())).is_err());
    }
}
