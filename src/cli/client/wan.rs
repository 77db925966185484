//! The calls of the relay's control: what its links are like, and changing them.

use reqwest::Method;

use super::{Client, ClientError, Request, RequestPath};
use crate::model::ids::RegionId;
use crate::wan::document::{ChangeDocument, LinkDocument};

impl Client {
    /// All directions of the relay.
    pub(crate) async fn wan_links(&self) -> Result<Vec<LinkDocument>, ClientError> {
        let request = Request::new(Method::GET, RequestPath::new("/links"));
        self.send_json(request, &|| "list the links of the relay".to_owned())
            .await
    }

    /// Changes the direction from one region to another, or both; gives what was changed.
    pub(crate) async fn change_wan_link(
        &self,
        from: RegionId,
        to: RegionId,
        is_both: bool,
        change: &ChangeDocument,
    ) -> Result<Vec<LinkDocument>, ClientError> {
        let path = RequestPath::new("/links")
            .segment(from.as_str())?
            .segment(to.as_str())?
            .query_optional("both", is_both.then_some("true"));
        let request = Request::json(Method::PUT, path, change);
        self.send_json(request, &|| format!("change the link from {from} to {to}"))
            .await
    }
}
