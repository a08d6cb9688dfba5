//! The connection to a server in the same process, over its endpoint.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use mobync::{
    Database, Mobync, Owner, SyncRequest,
    client::{Client, Device, LocalStore, NoAnswer, Reply, Transport},
    http::{AuthError, Credentials, Endpoint},
};

pub struct Line<D> {
    pub mobync: Mobync<D>,
    /// The first answers, in place of the server's.
    pub fates: Arc<Mutex<VecDeque<Fate>>>,
    pub requests: Arc<Mutex<Vec<SyncRequest>>>,
    /// Requests with clocks below this one, except those of new devices, are too old; and whether ids are
    /// forgotten.
    pub horizon: Arc<Mutex<(i64, bool)>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Arrives,
    AnswerLost,
}

impl<D: Clone> Clone for Line<D> {
    fn clone(&self) -> Self {
        Self {
            mobync: self.mobync.clone(),
            fates: Arc::clone(&self.fates),
            requests: Arc::clone(&self.requests),
            horizon: Arc::clone(&self.horizon),
        }
    }
}

async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
    Ok(Owner::new(credentials.token()?)?)
}

impl<D: Database + Clone> Line<D> {
    pub fn to(mobync: Mobync<D>) -> Self {
        Self { mobync, fates: Arc::default(), requests: Arc::default(), horizon: Arc::default() }
    }

    pub fn client<S: LocalStore>(&self, device: &Device<S>) -> Client<S, Self> {
        Client::new(device.clone(), self.clone())
    }

    pub async fn sync<S: LocalStore>(&self, device: &Device<S>) {
        self.client(device).sync_now().await.unwrap();
    }

    async fn post(&self, request: &SyncRequest) -> Reply {
        let (horizon, forgotten) = *self.horizon.lock().unwrap();
        let is_page = request.diffs.is_empty() && request.head.as_deref() == Some("horizon");
        if 0 < request.logical_clock && request.logical_clock < horizon && !is_page {
            let forgotten = if forgotten { r#","forgotten":true"# } else { "" };
            let body =
                format!(r#"{{"success":false,"message":"Old.","code":"too_old"{forgotten}}}"#);
            return Reply { status: 410, retry_after: None, body: body.into() };
        }
        let body = Bytes::from(serde_json::to_vec(request).unwrap());
        let request = Request::post("/sync")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, "Bearer ada")
            .body(Full::new(body))
            .unwrap();
        let endpoint = Endpoint::new(self.mobync.clone(), auth);
        let (parts, body) = endpoint.handle(request).await.into_parts();
        Reply { status: parts.status.as_u16(), retry_after: None, body }
    }
}

impl<D: Database + Clone> Transport for Line<D> {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.requests.lock().unwrap().push(request.clone());
        let fate = self.fates.lock().unwrap().pop_front();
        let reply = self.post(request).await;
        match fate {
            Some(Fate::AnswerLost) => Err(NoAnswer::new("the connection broke off")),
            Some(Fate::Arrives) | None => Ok(reply),
        }
    }
}
