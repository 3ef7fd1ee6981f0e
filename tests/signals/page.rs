//! The page: text from outside is text on it, and it loads and runs nothing.

use std::fs;
use std::path::Path;

use http::Method;
use unconfused::audit::{Signals, SignalsReport};
use unconfused::{Audience, Guard, Require, Scope};

use crate::{DELETE, FIVE_MINUTES, READ, REFUND, TestIssuer, WRITE, approving, counted, login};

/// What would be markup, a script, an attribute or another direction if it were not escaped.
const HOSTILE: &[&str] = &[
    "<script>document.title = 'run'</script>",
    "</bdi></td></table></body><script src=https://evil.example/x.js></script>",
    "\"><img src=https://evil.example/x.png onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "<svg onload=alert(1)>",
    "<style>@import 'https://evil.example/x.css'</style>",
    "&lt;script&gt; &#60;b> &copy;",
    "javascript:alert(1)",
    "alice\u{202e}nimda\u{202c}\u{2066}\u{200f}",
    "alice\nallowed: bob\r\n\u{2028}\u{0}\u{1b}[31m",
    "e\u{301}\u{301}\u{301}\u{301}",
    "أليس عليها",
    "<!-- -- >",
    "]]>",
];

/// A token's subject, actor and issuer, the path and the names of operations: all of it is hostile.
fn hostile() -> SignalsReport {
    let issuer = "https://login.example/<script>alert(1)</script>";
    let login = TestIssuer::new(issuer);
    let audience = Audience::from_static("https://orders.example/<script>\"'&\u{202e}");
    let signals = std::sync::Arc::new(Signals::new());
    let guard = Guard::new(audience.clone(), login.issuer()).audit(signals.clone());
    let long = "<b>x".repeat(2_500);
    assert_eq!(long.len(), 10_000);
    let mut layers = Vec::new();
    for (n, text) in HOSTILE.iter().copied().chain([&*long]).enumerate() {
        let of_actor = Require::valid_token().actor_if_any([(text, text)]);
        layers.push(guard.require(of_actor).named(text));
        let any = Scope::from_static("orders:read");
        let token = login.token(&audience).scope("orders:read").subject(text);
        // An actor that is the subject itself would not be one.
        let agent: String = text.chars().take(100).chain("!".chars()).collect();
        let token = if n % 2 == 0 { token.actor(&agent) } else { token };
        let path = format!("/{}", "%3Cscript%3E'<".repeat(n).replace('<', "%3C"));
        let request = http::Request::builder().method(Method::POST).uri(path);
        let request = request.header("authorization", token.bearer()).body(()).unwrap();
        let (mut head, ()) = request.into_parts();
        let _ = guard.authorize(&mut head, any).now().unwrap();
    }
    signals.report(&guard.operations())
}

/// What an ordinary service has.
fn ordinary() -> SignalsReport {
    let login = login();
    let (guard, signals) = counted(&login);
    let guard = approving(guard);
    let refunds = Require::scope(REFUND).max_age(FIVE_MINUTES);
    let layers = [
        guard.require(READ).named("GET /orders"),
        guard.require(WRITE).named("POST /orders"),
        guard.require(refunds).named("POST /orders/{id}/refund"),
        guard.require(DELETE).named("DELETE /orders/{id}"),
        guard.require(DELETE),
    ];
    for n in 0..40 {
        let token = login.token(&crate::ORDERS).scope("orders:read");
        let token = token.actor(if n % 3 == 0 { "support-agent" } else { "survey-agent" });
        let token = token.subject(["alice", "bob", "carol"][n % 3]);
        let request = http::Request::get("/reports").header("authorization", token.bearer());
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let required = if n % 4 == 0 { WRITE } else { READ };
        let _ = guard.authorize(&mut head, required).now().unwrap();
    }
    let report = signals.report(&guard.operations());
    drop(layers);
    report
}

/// Keeps the page for the step of the checks that opens it in a browser.
fn keep(name: &str, page: &str) {
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), page).unwrap();
}

/// The tags of the page, each as it is written, and the text between them.
fn tags(page: &str) -> Vec<&str> {
    // The style has no `<`.
    page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()).collect()
}

#[test]
fn text_from_outside_is_text_on_the_page() {
    let page = hostile().to_html();
    keep("hostile.html", &page);
    // Every tag is one that the page itself writes, with its own attributes.
    for tag in tags(&page) {
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        let own = [
            "!DOCTYPE", "html", "head", "meta", "link", "title", "style", "body", "header", "h1",
            "h2", "h3", "p", "div", "section", "span", "br", "svg", "circle", "rect", "text",
            "table", "thead", "tbody", "tr", "th", "td", "bdi", "code", "ul", "li", "footer",
        ];
        assert!(own.contains(&name), "<{tag}>");
        assert!(
            !tag.contains(" on") && !tag.contains("src=") && !tag.contains("style="),
            "<{tag}>"
        );
        assert!(!tag.contains("href=") || tag == "link rel=\"icon\" href=\"data:,\"", "<{tag}>");
    }
    for shown in [
        "&lt;script&gt;document.title = &#39;run&#39;&lt;/script&gt;",
        "\\&quot;&gt;&lt;img src=https://evil.example/x.png onerror=alert(1)&gt;",
        "&amp;lt;script&amp;gt; &amp;#60;b&gt; &amp;copy;",
        r"alice\u{202e}nimda\u{202c}\u{2066}\u{200f}",
        r"alice\nallowed: bob\r\n\u{2028}\u{0}\u{1b}[31m",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[test]
fn no_character_of_the_page_is_invisible_or_turns_text_around() {
    for c in hostile().to_html().chars() {
        let is_line = c == '\n';
        assert!(is_line || !c.is_control(), "{c:?}");
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}'..='\u{2029}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}');
        assert!(!turns, "{c:?}");
    }
}

#[test]
fn a_name_of_ten_kilobytes_is_cut() {
    let report = hostile();
    assert_eq!((report.allowed, report.actors.len()), (15, 15), "{report}");
    let page = report.to_html();
    let cut = format!("{}…", "&lt;b&gt;x".repeat(64));
    assert!(page.contains(&cut));
    assert!(!page.contains(&"&lt;b&gt;x".repeat(65)));
}

#[test]
fn every_name_from_outside_is_isolated_from_the_text_around_it() {
    let page = hostile().to_html();
    // As many as there are names, and each is closed.
    assert_eq!(page.matches("<bdi>").count(), page.matches("</bdi>").count());
    for text in ["أليس عليها", "javascript:alert(1)", "&lt;svg onload=alert(1)&gt;"] {
        for (at, _) in page.match_indices(text) {
            let before = &page[..at];
            let isolated = before.rfind("<bdi>") > before.rfind("</bdi>");
            let in_own_sentence = before.rfind("<bdi>").is_some();
            assert!(isolated && in_own_sentence, "{text}");
        }
    }
}

#[test]
fn the_page_forbids_the_browser_to_load_or_run_anything() {
    let page = ordinary().to_html();
    keep("ordinary.html", &page);
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ";
    assert!(page.contains(policy));
    assert!(!page.contains("script"));
    assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("http:"));
}

#[test]
fn the_page_says_what_the_report_says() {
    let report = ordinary();
    let page = report.to_html();
    assert_eq!((report.allowed, report.denied), (30, 10));
    for text in [
        "<text x=\"50\" y=\"51\">100 %</text>",
        "30 of 30 allowed requests had a token for this resource",
        "<span class=\"number\">1 of 4</span>",
        "Not all: some operations delete without it.",
        "<span class=\"number\">2</span><br>agents",
        "<span class=\"number\">3</span><br>subjects they act for",
        "<bdi>GET /reports</bdi></span><span class=\"flag\">Seen, and on no list.</span>",
        "<code><bdi>DELETE /orders/{id}</bdi></code> It deletes, and asks for neither a recent or strong",
        "aria-label=\"30 allowed, 10 denied\"",
        "insufficient_scope",
    ] {
        assert!(page.contains(text), "{text}\n{page}");
    }
}
