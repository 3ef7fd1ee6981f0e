//! Pieces of a page: text that is never markup, and pictures.

use std::fmt::{self, Display, Write};

/// Writes text from outside so that it is text in HTML, also in an attribute, whatever it says.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A name, in its own direction whatever stands beside it.
pub(super) struct Name<T>(pub(super) T);

impl<T: Display> Display for Name<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<bdi>{}</bdi>", Escaped(&self.0))
    }
}

/// A bar of two parts, as long as they are beside the longest bar of its table.
pub(super) struct Bar {
    /// The classes and the sizes of the parts.
    pub(super) parts: [(&'static str, u64); 2],
    /// The size of the longest bar.
    pub(super) longest: u64,
    /// What the picture says, in words.
    pub(super) words: String,
}

impl Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">"#,
            Escaped(&self.words)
        )?;
        let mut x = 0.0;
        for (class, size) in self.parts {
            let width = percent(size, self.longest);
            write!(f, r#"<rect class="{class}" x="{x:.2}" width="{width:.2}" height="10"/>"#)?;
            x += width;
        }
        f.write_str("</svg>")
    }
}

/// A ring that is filled by a share, with the share in it.
pub(super) struct Ring {
    pub(super) part: u64,
    pub(super) whole: u64,
}

impl Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = percent(self.part, self.whole);
        // Never 100 % if one is missing.
        let words =
            if self.whole == 0 { "–".to_owned() } else { format!("{:.0} %", share.floor()) };
        write!(
            f,
            r#"<svg class="ring" viewBox="0 0 100 100" role="img" aria-label="{words}"><circle class="rest" cx="50" cy="50" r="42" pathLength="100"/><circle class="share" cx="50" cy="50" r="42" pathLength="100" stroke-dasharray="{share:.2} 100" transform="rotate(-90 50 50)"/><text x="50" y="51">{words}</text></svg>"#
        )
    }
}

/// Dots, of which the first are filled: so many of so many.
pub(super) struct Dots {
    pub(super) filled: usize,
    pub(super) all: usize,
}

impl Dots {
    /// A picture of more says nothing.
    const MOST: usize = 60;
}

impl Display for Dots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all > Dots::MOST {
            return Ok(());
        }
        let words = format!("{} of {}", self.filled, self.all);
        write!(f, r#"<span class="dots" role="img" aria-label="{words}">"#)?;
        for at in 0..self.all {
            let class = if at < self.filled { "share" } else { "rest" };
            write!(
                f,
                r#"<svg viewBox="0 0 10 10"><circle class="{class}" cx="5" cy="5" r="4"/></svg>"#
            )?;
        }
        f.write_str("</span>")
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
