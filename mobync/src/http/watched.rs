//! One space of a live stream: whether the person may hear of it, and what there is to hear.

use std::{
    borrow::Cow,
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{AuthError, Claim, Token, panic::caught, question::Question, spaces::of_space};
use crate::{
    engine::log_failure,
    error::Error,
    grant::Grant,
    live::{Listener, Live},
    owner::Owner,
};

/// The greatest time between two questions to the auth closure about a space.
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// The least time between two questions that no event asks for, and the pause after the first failure.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What the spaces of a stream have in common.
pub(super) struct Source<F> {
    /// The auth closure; `None` if it is never asked again.
    pub(super) auth: Option<F>,
    pub(super) token: Token,
    pub(super) read: ReadClock,
    pub(super) live: Live,
    pub(super) max_listeners: usize,
    /// How often the closure is asked at least; `None` for a stream without spaces.
    pub(super) ask_every: Option<Duration>,
}

/// Reads an owner's clock from the database.
pub(super) type ReadClock = Arc<dyn Fn(Owner) -> Later<Result<i64, Error>> + Send + Sync>;

pub(super) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a stream hears of one of its spaces.
pub(super) enum Said {
    /// The owner's clock.
    Clock(i64),
    /// The person is no member, which is the last of this space.
    NoMember(Cow<'static, str>),
    /// The closure refuses the token or the person for this space.
    Refused,
    /// The stream should end.
    End,
}

/// A space of a stream, or the person's own data.
pub(super) struct Watched<Fut> {
    /// The space's name; `None` for the person's own data.
    name: Option<String>,
    /// Whether its events are sent. A stream over spaces always watches the person's own data, too.
    is_shown: bool,
    /// Whose data it is, as long as the closure grants it.
    owner: Option<Owner>,
    news: News,
    question: Option<Question<Fut>>,
    /// When the closure is asked, even if there is no news; `None` for never.
    ask_at: Option<Instant>,
    /// Until when the closure's last answer is enough to send an event.
    counts_until: Instant,
    /// Whether the closure's last answer is older than the news.
    is_older: bool,
    /// After a failure, the pause before the closure is asked again.
    pause: Option<Duration>,
}

/// What is known of an owner's clock.
enum News {
    /// Nothing, and no listener is held.
    None,
    /// A listener is held, but nobody wants to hear.
    Unheard(#[expect(dead_code, reason = "held for its place")] Listener),
    /// The clock is read, or is to go beyond what was sent.
    Awaited(Later<Result<Option<Heard>, Error>>),
    /// There is something to send, since that time.
    Heard(Heard, Instant),
}

struct Heard {
    listener: Listener,
    clock: i64,
}

impl News {
    fn first(owner: &Owner, listener: Listener, read: &ReadClock) -> Self {
        let clock = read(owner.clone());
        Self::Awaited(Box::pin(async { Ok(Some(Heard { clock: clock.await?, listener })) }))
    }

    fn beyond(told: i64, mut listener: Listener) -> Self {
        Self::Awaited(Box::pin(async move {
            Ok(listener.beyond(told).await.map(|clock| Heard { listener, clock }))
        }))
    }
}

impl<Fut> Watched<Fut> {
    /// A space about which the closure has not been asked.
    pub(super) fn space(name: String, now: Instant) -> Self {
        Self {
            name: Some(name),
            is_shown: true,
            owner: None,
            news: News::None,
            question: None,
            ask_at: Some(now),
            counts_until: now,
            is_older: false,
            pause: None,
        }
    }

    /// The person's own data, of a stream without spaces that has told of this clock.
    pub(super) fn alone(listener: Listener, told: i64, grant: &Grant, now: Instant) -> Self {
        let mut own = Self::own(true, now);
        own.news = News::beyond(told, listener);
        own.granted(grant, now, None);
        own
    }

    /// The person's own data, of a stream over spaces. The person is `None` if they have none.
    pub(super) fn person<F>(
        person: Option<(&Grant, Listener)>,
        is_shown: bool,
        source: &Source<F>,
        now: Instant,
    ) -> Self {
        let mut own = Self::own(is_shown, now);
        own.ask_at = source.ask_every.map(|interval| after(now, interval));
        if let Some((grant, listener)) = person {
            own.granted(grant, now, source.ask_every);
            own.listen(grant, listener, now, source);
        }
        own
    }

    fn own(is_shown: bool, now: Instant) -> Self {
        let mut own = Self::space(String::new(), now);
        (own.name, own.is_shown) = (None, is_shown);
        own
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Asks the closure at once.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.ask_at = Some(now);
    }

    /// When to poll again, even if nothing has woken the task.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.question.as_ref().map(Question::until).or(self.ask_at)
    }

    /// What there is to say, of this space whose person has the owner `own`.
    pub(super) fn poll<F, G>(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        own: Option<&Owner>,
        source: &Source<F>,
    ) -> Poll<Said>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        loop {
            if self.poll_news(context, now, source).is_break() {
                return Poll::Ready(Said::End);
            }
            if now < self.counts_until
                && let Some(clock) = self.tell()
            {
                if source.ask_every.is_some() {
                    // An answer about a space is enough for one event.
                    self.counts_until = now;
                }
                return Poll::Ready(Said::Clock(clock));
            }
            let granted = ready!(self.poll_closure(context, now, source));
            let granted = match (granted, &self.name) {
                (Ok(grant), Some(_)) => of_space(grant, own),
                (granted, _) => granted,
            };
            if let Some(said) = self.heed(granted, now, source) {
                return Poll::Ready(said);
            }
        }
    }

    /// Breaks if the stream should end.
    fn poll_news<F>(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        source: &Source<F>,
    ) -> ControlFlow<()> {
        if let News::Awaited(news) = &mut self.news
            && let Poll::Ready(heard) = caught(news.as_mut(), context)
        {
            match heard {
                Ok(Some(heard)) => self.news = News::Heard(heard, now),
                Ok(None) => return ControlFlow::Break(()),
                Err(error) => {
                    log_failure(&error);
                    self.news = News::None;
                    self.wait(now, source);
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Asks the closure, if it is time to, or there is news.
    fn poll_closure<F, G>(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        source: &Source<F>,
    ) -> Poll<Result<Grant, Error>>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let question = match (&mut self.question, &source.auth) {
            (Some(question), _) => question,
            (question, Some(auth)) => {
                let is_time = self.ask_at.is_some_and(|at| at <= now);
                let is_news = matches!(self.news, News::Heard(..)) && self.pause.is_none();
                if !is_time && !is_news {
                    return Poll::Pending;
                }
                let claim = Claim { token: source.token.clone(), space: self.name.clone() };
                match Question::new(auth, claim, now) {
                    Ok(asked) => question.insert(asked),
                    Err(panicked) => return Poll::Ready(Err(panicked)),
                }
            }
            (None, None) => return Poll::Pending,
        };
        let granted = ready!(question.poll(context, now));
        let asked = question.asked();
        self.question = None;
        // What came in the meantime is told on a new answer: the person may have been removed since.
        self.is_older = matches!(self.news, News::Heard(_, since) if since > asked);
        Poll::Ready(granted)
    }

    /// Does what the closure says.
    fn heed<F>(
        &mut self,
        granted: Result<Grant, Error>,
        now: Instant,
        source: &Source<F>,
    ) -> Option<Said> {
        let is_space = self.name.is_some();
        match granted {
            Ok(grant) => {
                if self.owner.as_ref() != Some(grant.owner()) {
                    if !is_space && self.owner.is_some() {
                        // The token is another person's.
                        return Some(Said::End);
                    }
                    self.news = News::None;
                }
                self.granted(&grant, now, source.ask_every);
                if !matches!(self.news, News::None) {
                    return if self.is_older { None } else { self.tell().map(Said::Clock) };
                }
                let listener = source.live.listen(grant.owner(), source.max_listeners);
                match listener.inspect_err(log_failure) {
                    Ok(listener) => self.listen(&grant, listener, now, source),
                    Err(_) => self.wait(now, source),
                }
                None
            }
            Err(Error::NoMember(sentence)) => {
                let Some(interval) = source.ask_every else { return Some(Said::End) };
                self.lose((!is_space).then(|| after(now, interval)));
                mem::take(&mut self.is_shown).then_some(Said::NoMember(sentence))
            }
            Err(Error::Busy { .. } | Error::Internal(_)) => {
                self.wait(now, source);
                None
            }
            Err(_) => {
                self.lose(Some(after(now, source.ask_every.unwrap_or(MINUTE))));
                Some(if is_space { Said::Refused } else { Said::End })
            }
        }
    }

    fn granted(&mut self, grant: &Grant, now: Instant, ask_every: Option<Duration>) {
        let end = grant.time().map(|time| after(now, time));
        let no_sooner = end.map(|end| end.max(now + SECOND));
        self.owner = Some(grant.owner().clone());
        self.pause = None;
        self.ask_at =
            ask_every.map(|interval| after(now, interval)).into_iter().chain(no_sooner).min();
        self.counts_until = match ask_every {
            None => end.unwrap_or_else(|| after(now, Duration::MAX)),
            Some(_) => now,
        };
    }

    /// Reads the clock first, which does not take long after the closure's answer.
    fn listen<F>(&mut self, grant: &Grant, listener: Listener, now: Instant, source: &Source<F>) {
        self.counts_until = now + grant.time().map_or(SECOND, |time| time.min(SECOND));
        self.news = if self.is_shown {
            News::first(grant.owner(), listener, &source.read)
        } else {
            News::Unheard(listener)
        };
    }

    /// The clock to send, if there is news.
    fn tell(&mut self) -> Option<i64> {
        match mem::replace(&mut self.news, News::None) {
            News::Heard(Heard { listener, clock }, _) => {
                let newest = clock.max(listener.newest());
                self.news = News::beyond(newest, listener);
                Some(newest)
            }
            news => {
                self.news = news;
                None
            }
        }
    }

    /// Sends nothing until the closure has been asked again, after a pause.
    fn wait<F>(&mut self, now: Instant, source: &Source<F>) {
        let most = source.ask_every.unwrap_or(MINUTE);
        let pause = self.pause.map_or(SECOND, |pause| (pause * 2).min(most));
        (self.pause, self.ask_at, self.counts_until) = (Some(pause), Some(now + pause), now);
    }

    /// Gives up what it holds. The closure is asked at that time, if ever.
    fn lose(&mut self, ask_at: Option<Instant>) {
        (self.owner, self.news, self.ask_at, self.pause) = (None, News::None, ask_at, None);
    }
}

/// A time from now. One beyond the range of the clock never comes.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + Duration::from_secs(u32::MAX.into()))
}
