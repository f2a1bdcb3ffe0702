//! The fields of a form, as browsers send them.

use axum::extract::{FromRequest, Request};
use http::header;

use crate::app::App;
use crate::http::QueryPairs;
use crate::limits::FORM_MAX_BYTES;
use crate::problem::{ApiError, Code};

/// A body that is declared to be a form.
#[derive(Debug)]
pub struct Fields(QueryPairs);

impl Fields {
    /// The first value of a field; empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_default()
    }
}

impl FromRequest<App> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail = "The body must be a form, as a browser sends it.";
            return Err(ApiError::new(Code::UnsupportedMediaType, detail));
        }
        let time = app.config.server.body_timeout;
        let body = app.bodies.read(request.into_body(), FORM_MAX_BYTES, time).await?;
        let invalid = || ApiError::new(Code::InvalidRequest, "The form is not UTF-8.");
        let text = std::str::from_utf8(&body).map_err(|_| invalid())?;
        QueryPairs::parse(text).map(Self).map_err(|_| invalid())
    }
}
