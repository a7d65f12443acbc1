//! What goes on at AWS, told on stderr: a line for what is done, and how far a large upload is.

use crate::output;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stepgrad_deploy::{Action, Kind, Step, Watch};

const TICK: Duration = Duration::from_millis(200);

/// Tells it.
#[derive(Debug)]
pub(crate) struct Told {
    bar: Option<ProgressBar>,
    quiet: bool,
    under_way: Mutex<UnderWay>,
}

/// What goes on, by the kind and name of its thing, each with how far it is; the last one is that of which there is news.
#[derive(Debug, Default)]
struct UnderWay(Vec<(String, String)>);

impl UnderWay {
    /// News of a thing that goes on.
    fn tells(&mut self, thing: &str, how_far: String) {
        self.ends(thing);
        self.0.push((thing.to_owned(), how_far));
    }

    fn ends(&mut self, thing: &str) {
        self.0.retain(|(other, _)| other != thing);
    }

    fn line(&self) -> String {
        match self.0.split_last() {
            None => String::new(),
            Some(((thing, how_far), [])) => format!("{thing}{how_far}"),
            Some(((thing, how_far), others)) => format!("{thing}{how_far}, and {} more", others.len()),
        }
    }
}

fn thing(kind: Kind, name: &str) -> String {
    format!("{} {name}", kind.name())
}

impl Told {
    /// The best that stderr can show.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet || !output::interactive() {
            return Self { bar: None, quiet, under_way: Mutex::default() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self { bar: Some(bar), quiet, under_way: Mutex::default() }
    }

    /// Nothing goes on any more.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Takes notice of news, and shows what goes on.
    fn changes(&self, change: impl FnOnce(&mut UnderWay)) {
        if let Some(bar) = &self.bar {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut under_way);
            bar.set_message(under_way.line());
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.println(text),
            None => output::say(text),
        }
    }
}

impl Watch for Told {
    fn begins(&self, step: &Step) {
        self.changes(|under_way| under_way.tells(&thing(step.kind, &step.name), String::new()));
    }

    fn done(&self, step: &Step) {
        self.changes(|under_way| under_way.ends(&thing(step.kind, &step.name)));
        let done = match step.action {
            Action::Create => "created",
            Action::Change => "changed",
            Action::Replace => "replaced",
            Action::Delete => "removed",
            Action::Leave | Action::Foreign | Action::Alone => return,
        };
        let is_upload = step.kind == Kind::Object && step.action != Action::Delete;
        let done = if is_upload { "uploaded" } else { done };
        self.line(&format!("{done} {} {}", step.kind.name(), step.name));
    }

    fn waits(&self, why: &str) {
        self.line(&format!("waiting {why}"));
    }

    fn sent(&self, key: &str, bytes: u64, of: u64) {
        let how_far = format!(": {} of {}", HumanBytes(bytes), HumanBytes(of));
        self.changes(|under_way| under_way.tells(&thing(Kind::Object, key), how_far));
    }
}

#[cfg(test)]
mod tests {
    use super::UnderWay;

    #[test]
    fn of_several_things_the_one_of_which_there_is_news_is_shown() {
        let mut under_way = UnderWay::default();
        under_way.tells("object a", String::new());
        assert_eq!(under_way.line(), "object a");
        under_way.tells("object b", String::new());
        assert_eq!(under_way.line(), "object b, and 1 more");
        under_way.tells("object a", ": 1 B of 2 B".to_owned());
        assert_eq!(under_way.line(), "object a: 1 B of 2 B, and 1 more");
        under_way.ends("object a");
        assert_eq!(under_way.line(), "object b");
        under_way.ends("object b");
        assert_eq!(under_way.line(), "");
    }
}
