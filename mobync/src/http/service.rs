//! The endpoints as `tower::Service`s.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{AnswerBody, Auth, Endpoint, LiveBody, LiveEndpoint};
use crate::{database::Database, error::BoxError, rules::Rules};

impl<D, R, A, B> Service<Request<B>> for Endpoint<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let endpoint = self.clone();
        Box::pin(async move { Ok(endpoint.serve(request).await) })
    }
}

impl<D, R, A, B> Service<Request<B>> for LiveEndpoint<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
    B: Send + 'static,
{
    type Response = Response<LiveBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let live = self.clone();
        Box::pin(async move { Ok(live.handle(request).await) })
    }
}
