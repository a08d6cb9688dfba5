//! The program, started on a database of its own, and those who talk to it.
#![allow(unreachable_pub, clippy::panic, reason = "tests")]

mod phone;
mod webhook;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use reqwest::{Client, Response, header::CONTENT_TYPE, redirect::Policy};
use tempfile::TempDir;
use url::form_urlencoded::Serializer;

pub use self::{phone::Phone, webhook::Webhook};

pub const PASSWORD: &str = "the password of the tests";

/// The running program; it ends with the test.
pub struct Deliveries {
    process: Child,
    address: String,
    browser: Client,
    _output: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Deliveries {
    pub async fn start() -> Self {
        Self::start_with("", &[]).await
    }

    /// With these rows, which were there before sync was.
    pub async fn with(rows: &'static str) -> Self {
        Self::start_with(rows, &[]).await
    }

    /// It tells this address of deliveries.
    pub async fn telling(webhook: &str) -> Self {
        Self::start_with("", &["--webhook", webhook]).await
    }

    async fn start_with(rows: &'static str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("test.sqlite").display());
        let pool = sqlx::SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap();
        sqlx::migrate!("./migrations").run(&pool).await.unwrap();
        sqlx::raw_sql(rows).execute(&pool).await.unwrap();
        pool.close().await;

        let mut program = Command::new(env!("CARGO_BIN_EXE_deliveries"));
        program.args(["--port", "0", "--database", &url]).args(args).stdout(Stdio::piped());
        let mut process = program.env("ADMIN_PASSWORD", PASSWORD).spawn().unwrap();
        let (mut line, mut output) =
            (String::new(), BufReader::new(process.stdout.take().unwrap()));
        output.read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let browser = Client::builder().redirect(Policy::none()).build().unwrap();
        let address = address.to_owned();
        Self { process, address, browser, _output: output, _folder: folder }
    }

    /// Sends a form of the admin page.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) {
        let response = self.send(path, fields, Some(PASSWORD), Some("same-origin")).await;
        assert_eq!(response.status(), 303, "{}", response.text().await.unwrap());
    }

    /// The status of a form that would add a driver.
    pub async fn status_with(&self, password: Option<&str>, site: Option<&str>) -> u16 {
        let name = format!("{password:?} {site:?}");
        self.send("/drivers", &[("name", &name)], password, site).await.status().as_u16()
    }

    async fn send(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        password: Option<&str>,
        site: Option<&str>,
    ) -> Response {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.browser.post(format!("{}{path}", self.address)).body(body);
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(password) = password {
            request = request.basic_auth("admin", Some(password));
        }
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        request.send().await.unwrap()
    }

    /// The admin page.
    pub async fn page(&self) -> String {
        let request = self.browser.get(&self.address).basic_auth("admin", Some(PASSWORD));
        request.send().await.unwrap().text().await.unwrap()
    }

    /// Adds a driver, and returns the token, which the page shows.
    pub async fn add_driver(&self, name: &str) -> String {
        self.post("/drivers", &[("name", name)]).await;
        let page = self.page().await;
        let tokens = page.split("<code>").skip(1).map(|text| &text[..32]);
        let sections = page.split("<h2>").skip(1);
        let escaped = name.split(['<', '>', '"', '\'', '&']).find(|part| !part.is_empty()).unwrap();
        let is_of = |section: &str| section.lines().next().unwrap().contains(escaped);
        let place = sections.map(is_of).position(|is_of| is_of).unwrap();
        tokens.collect::<Vec<_>>()[place].to_owned()
    }

    pub fn phone(&self, token: &str) -> Phone {
        Phone::new(&self.address, token)
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
