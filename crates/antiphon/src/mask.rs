//! Takes secrets out of lines that others wrote: foreign stages print what they like.
//!
//! Two ways, side by side. What is known to be secret (values of configs and of the environment) is
//! found wherever it stands, also inside of JSON and of URLs. What looks like a secret by the words
//! before it is taken for one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem::Finder;
use singer_core::Secret;

use crate::spec::Pipeline;

mod collect;
mod decode;
mod pattern;
#[cfg(test)]
mod tests;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";
/// What is shorter is not looked for: it would be found in every other word.
const SHORTEST: usize = 6;

/// What is hidden: the secret values of a pipeline's configs, and what looks like one anywhere.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    finders: Arc<Vec<Finder<'static>>>,
}

/// Bytes of a line that are hidden.
type Range = (usize, usize);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} secrets)", self.finders.len())
    }
}

impl Mask {
    /// Collects the values of secret-looking keys (`password`, `token`, `…_secret`, `…_key`, `credentials`) of the
    /// stages' configs, of the pipeline's `environment` and of the variables of this process, which the stages
    /// inherit. A config that cannot be read hides nothing: its stage will say so itself. Nothing is asked of
    /// a command: whoever runs one adds what it gave with [`Mask::hide`].
    pub(crate) async fn of(pipeline: &Pipeline, folder: &Path) -> Self {
        Self::default().hide(&collect::secrets(pipeline, folder).await)
    }

    /// The same with more secrets. A secret of several lines is hidden line by line, as it would be printed.
    #[must_use]
    pub(crate) fn hide(self, secrets: &[Secret]) -> Self {
        let mut needles: BTreeSet<&[u8]> = self.finders.iter().map(Finder::needle).collect();
        for secret in secrets {
            let lines = secret.expose().lines().map(str::trim);
            let lines = lines.chain([secret.expose()]);
            needles.extend(
                lines
                    .filter(|line| line.chars().count() >= SHORTEST)
                    .map(str::as_bytes),
            );
        }
        let finders = needles.into_iter().map(|it| Finder::new(it).into_owned());
        Self {
            finders: Arc::new(finders.collect()),
        }
    }

    /// The line without secrets.
    pub(crate) fn line<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let mut hidden: Vec<Range> = Vec::new();
        pattern::find(line, &mut hidden);
        if !self.finders.is_empty() {
            decode::forms(line.as_bytes(), &mut |text, origin| {
                for finder in self.finders.iter() {
                    for start in finder.find_iter(text) {
                        let end = start + finder.needle().len();
                        hidden.push((origin.start(start), origin.end(end)));
                    }
                }
            });
        }
        if hidden.is_empty() {
            return Cow::Borrowed(line);
        }
        Cow::Owned(without(line, hidden))
    }
}

/// The line with one sign for all that is hidden in one piece.
fn without(line: &str, mut hidden: Vec<Range>) -> String {
    hidden.sort_unstable();
    let mut text = String::with_capacity(line.len());
    let mut at = 0;
    for (mut start, mut end) in hidden {
        // A range may begin inside of a letter only if a secret was found in another form of the line.
        while !line.is_char_boundary(start) {
            start -= 1;
        }
        while !line.is_char_boundary(end) {
            end += 1;
        }
        if start >= at {
            text.push_str(line.get(at..start).unwrap_or_default());
            if !(start == at && text.ends_with(HIDDEN)) {
                text.push_str(HIDDEN);
            }
        }
        at = at.max(end);
    }
    text.push_str(line.get(at..).unwrap_or_default());
    text
}
