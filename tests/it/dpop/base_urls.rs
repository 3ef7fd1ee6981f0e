//! The base URLs that a proof may name.

use super::*;

#[test]
fn a_base_is_a_url_of_a_host() {
    for base in [
        "https://api.example.com",
        "https://api.example.com/",
        "HTTPS://API.example.com:443/v1/",
        "http://127.0.0.1:8080",
        "https://[::1]:8443/v1",
    ] {
        assert!(Dpop::for_base_url(base).is_ok(), "{base}");
        assert!(dpop().and_base_url(base).is_ok(), "{base}");
    }
    for base in [
        "",
        "api.example.com",
        "//api.example.com",
        "https://",
        "https:///v1",
        "https://user@api.example.com",
        "https://api.example.com?x=1",
        "https://api.example.com#f",
        "ftp://api.example.com",
        "api://orders",
        "urn:orders",
        "https://api.example.com/a b",
    ] {
        let unfit = Dpop::for_base_url(base).unwrap_err();
        // The user and the query may be secret.
        let shown = base.replace("user@", "..@").replace("?x=1", "?..");
        assert!(unfit.to_string().contains(&format!("`{shown}`")), "{unfit}");
        assert!(dpop().and_base_url(base).is_err(), "{base}");
    }
}

#[test]
fn a_proof_names_one_of_the_bases_and_the_path_after_it() {
    let dpop = Dpop::for_base_url("https://api.example.com/v1/").unwrap();
    let dpop = dpop.and_base_url("http://localhost:8080").unwrap();
    let check =
        |htu: &str| check_field(&dpop, &good().claim("htu", htu).sign(), "token").map(|_| ()).err();
    assert_eq!(check("https://api.example.com/v1/orders"), None);
    assert_eq!(check("http://localhost:8080/orders"), None);
    for htu in [
        "https://api.example.com/orders",
        "https://api.example.com/v1orders",
        "https://api.example.com/v1//orders",
        "http://localhost:8080/v1/orders",
        "https://localhost:8080/orders",
        "http://localhost/orders",
        URL,
    ] {
        assert_eq!(check(htu), Some(Reason::DpopUriMismatch), "{htu}");
    }
}
