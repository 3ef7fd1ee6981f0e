//! Files of a room do not use each other in a circle: a file is not used by one that it uses, directly or through
//! others.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::source::{File, code, files};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// A name that a file brings into its module with `use`.
struct Import {
    /// From the crate's root, without `crate`.
    path: Vec<String>,
    /// `*` for a glob.
    name: String,
    is_public: bool,
}

struct Module {
    file: String,
    imports: Vec<Import>,
    /// Paths in the code, outside of `use`, that lead to a module of this crate.
    paths: Vec<Vec<String>>,
    /// Single names in the code, outside of `use`, that may be imported ones.
    names: BTreeSet<String>,
}

/// The modules of the crate by their paths from its root.
struct Modules(BTreeMap<Vec<String>, Module>);

/// The path of the module that a file is.
fn module_path(file: &str) -> Vec<String> {
    let module = file.strip_suffix(".rs").unwrap_or(file);
    let module = module.strip_suffix("/mod").unwrap_or(module);
    module.split('/').map(str::to_owned).collect()
}

impl Modules {
    fn read(files: &[File]) -> Self {
        let paths: BTreeSet<_> = files.iter().map(|file| module_path(&file.path)).collect();
        let test_only = |file: &File| {
            let path = module_path(&file.path);
            let (name, parent) = path.split_last().expect("a name");
            file.source.contains("#![cfg(test)]")
                || files.iter().any(|other| {
                    module_path(&other.path) == parent
                        && other.source.contains(&format!("#[cfg(test)]\nmod {name};"))
                })
        };
        let built = files.iter().filter(|file| !file.is_root() && !test_only(file));
        let module = |file: &File| {
            let here = module_path(&file.path);
            let module = Module::read(file, &here, &paths);
            (here, module)
        };
        Modules(built.map(module).collect())
    }

    /// The file that holds what the path names, as far as that is in a room.
    fn file_of(&self, path: &[String], hops: usize) -> Option<&str> {
        let known = (1..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let module = &self.0[&path[..known]];
        let Some(name) = path.get(known) else {
            return Some(&module.file);
        };
        let import = module.imports.iter().find(|import| import.name == *name);
        match import {
            Some(import) if hops < 8 => {
                let shown = [&import.path, &path[known + 1..]].concat();
                self.file_of(&shown, hops + 1)
            }
            _ => Some(&module.file),
        }
    }

    /// For each file, the other files of its room that it uses.
    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (here, module) in &self.0 {
            // What a module shows of its own submodules is its table of contents.
            let contents = |import: &&Import| import.is_public && import.path.starts_with(here);
            // Unless its own code uses them.
            let used = module
                .imports
                .iter()
                .filter(|import| !contents(import) || module.names.contains(&import.name));
            for path in used.map(|import| &import.path).chain(&module.paths) {
                if path.first() != here.first() {
                    continue;
                }
                let to = self.file_of(path, 0).filter(|to| *to != module.file);
                let to = to.filter(|to| module_path(to).first() == here.first());
                let from = arrows.entry(module.file.clone()).or_default();
                from.extend(to.map(str::to_owned));
            }
        }
        arrows
    }
}

impl Module {
    fn read(file: &File, here: &[String], modules: &BTreeSet<Vec<String>>) -> Self {
        let code = code(&file.source);
        let mut module = Module {
            file: file.path.clone(),
            imports: Vec::new(),
            paths: Vec::new(),
            names: BTreeSet::new(),
        };
        let mut at = 0;
        while at < code.len() {
            if code[at] == "use" && code.get(at + 1) != Some(&"<") {
                let end = at + code[at..].iter().position(|token| *token == ";").expect("a `;`");
                let is_public = at > 0 && (code[at - 1] == "pub" || is_restricted(&code[..at]));
                let mut leaves = Vec::new();
                leaves_of(&code[at + 1..end], &[], &mut leaves);
                for (path, name) in leaves {
                    if let Some(path) = absolute(&path, here, modules) {
                        module.imports.push(Import { path, name, is_public });
                    }
                }
                at = end;
            } else if code.get(at + 1) == Some(&"::") && (at == 0 || code[at - 1] != "::") {
                let mut path = vec![code[at].to_owned()];
                while code.get(at + 1) == Some(&"::") && code.get(at + 2).is_some_and(is_name) {
                    path.push(code[at + 2].to_owned());
                    at += 2;
                }
                module.paths.extend(absolute(&path, here, modules));
                module.names.extend(path.into_iter().next());
            } else if is_name(&code[at]) && !is_member(&code, at) {
                module.names.insert(code[at].to_owned());
            }
            at += 1;
        }
        module
    }
}

fn is_name(token: &&str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether the name is that of a field or method, of a parameter or variable, of a module or item that is defined here.
fn is_member(code: &[&str], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| code[before]);
    let is_type = code[at].starts_with(char::is_uppercase);
    let called = code.get(at + 1) == Some(&"(");
    before == Some(".") || before == Some("mod") || before == Some("fn") || !(is_type || called)
}

/// Whether the code ends with `pub(crate)`, `pub(super)` or `pub(in path)`.
fn is_restricted(code: &[&str]) -> bool {
    let open = code.iter().rposition(|token| *token == "(");
    code.last() == Some(&")") && open.is_some_and(|open| open > 0 && code[open - 1] == "pub")
}

/// The paths of a `use`, each with the name that it gets.
fn leaves_of(tree: &[&str], before: &[&str], leaves: &mut Vec<(Vec<String>, String)>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while at < tree.len() {
        match tree[at] {
            "::" => {}
            "{" => {
                let group = &tree[at + 1..tree.len() - 1];
                return split(group).into_iter().for_each(|part| leaves_of(part, &path, leaves));
            }
            "self" if !path.is_empty() => {}
            "as" => {
                let path = path.iter().map(ToString::to_string).collect();
                return leaves.push((path, tree[at + 1].to_owned()));
            }
            name => path.push(name),
        }
        at += 1;
    }
    if let Some(name) = path.last().map(ToString::to_string) {
        path.retain(|part| *part != "*");
        leaves.push((path.iter().map(ToString::to_string).collect(), name));
    }
}

/// The parts of a group, which commas separate.
fn split<'a, 't>(group: &'t [&'a str]) -> Vec<&'t [&'a str]> {
    let mut open = 0;
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, token) in group.iter().enumerate() {
        match *token {
            "{" => open += 1,
            "}" => open -= 1,
            "," if open == 0 => {
                parts.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// The path from the crate's root. `None`: it leads out of the crate, or is not that of a module.
fn absolute(
    path: &[String],
    here: &[String],
    modules: &BTreeSet<Vec<String>>,
) -> Option<Vec<String>> {
    let child = |name: &String| modules.contains(&[here, std::slice::from_ref(name)].concat());
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" if path.len() > 1 => Some([here, &path[1..]].concat()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let parent = here.get(..here.len().checked_sub(up)?)?;
            Some([parent, &path[up..]].concat())
        }
        _ if child(&path[0]) => Some([here, path].concat()),
        _ => None,
    }
}

/// The circles, each in words: the files of it, and the arrows between them.
fn circles(arrows: &Arrows) -> Vec<String> {
    let reach = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in arrows.get(file).into_iter().flatten() {
                if reached.insert(to) {
                    open.push(to);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = arrows.keys().map(|file| (file, reach(file))).collect();
    let both = |a: &String, b: &String| {
        reached[a].contains(b) && reached.get(b).is_some_and(|back| back.contains(a))
    };
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for file in arrows.keys().filter(|file| both(file, file)) {
        if !told.insert(file) {
            continue;
        }
        let circle: Vec<_> = arrows.keys().filter(|other| both(file, other)).collect();
        told.extend(&circle);
        let inside = circle.iter().flat_map(|from| {
            let to = arrows[*from].iter().filter(|to| circle.contains(to));
            to.map(move |to| format!("{from} -> {to}"))
        });
        found.push(inside.collect::<Vec<_>>().join(", "));
    }
    found
}

#[test]
fn files_of_a_room_do_not_use_each_other_in_a_circle() {
    let circles = circles(&Modules::read(&files()).arrows());
    assert!(circles.is_empty(), "{circles:#?}");
}

// Tests of the finder.

fn arrows_of(files: &[(&str, &str)]) -> Arrows {
    let file =
        |(path, source): &(&str, &str)| File { path: (*path).into(), source: (*source).into() };
    let files: Vec<_> = files.iter().map(file).collect();
    let arrows = Modules::read(&files).arrows();
    arrows.into_iter().filter(|(_, to)| !to.is_empty()).collect()
}

/// The arrows of a room with three files, of which this is the text of `a.rs`.
fn from_a(contents: &str, a: &str) -> Vec<String> {
    let files = [("room/mod.rs", contents), ("room/a.rs", a), ("room/b.rs", ""), ("other.rs", "")];
    arrows_of(&files).remove("room/a.rs").into_iter().flatten().collect()
}

#[test]
fn an_arrow_between_files_is_found_however_it_is_written() {
    let contents = "mod a; mod b; pub(crate) use b::{B, C as D}; pub use self::b::f;";
    for a in [
        "use super::b::B;",
        "use super::b;",
        "use super::{b, b::f};",
        "use super::{b::{self, B}, B as E};",
        "use crate::room::b::B;",
        "pub(crate) use super::b::B;",
        "fn f() { crate::room::b::f() }",
        "fn f() { super::b::f() }",
        "fn f() { use super::b::f; f() }",
        "use super::B;",
        "use super::D;",
        "use super::D as E;",
        "use crate::{other::X, room::{D}};",
        "fn f() { super::f() }",
        "fn f() -> super::B { panic!() }",
        "impl super::B {}",
        "mod tests { }\nuse super::b::B;",
    ] {
        assert_eq!(from_a(contents, a), ["room/b.rs"], "{a}");
    }
}

#[test]
fn a_private_import_of_the_room_leads_on_too() {
    assert_eq!(from_a("mod a; mod b; use b::B;", "use super::B;"), ["room/b.rs"]);
}

#[test]
fn what_the_room_defines_itself_is_an_arrow_to_its_own_file() {
    let contents = "mod a; mod b; pub(crate) struct Base; pub use b::B;";
    for a in [
        "use super::Base;",
        "use super::*;",
        "use crate::room::Base;",
        "fn f() { super::Base::new() }",
        "fn f() { super::base() }",
    ] {
        assert_eq!(from_a(contents, a), ["room/mod.rs"], "{a}");
    }
    let both = from_a(contents, "use super::{B, Base};");
    assert_eq!(both, ["room/b.rs", "room/mod.rs"]);
}

#[test]
fn what_is_not_an_arrow_inside_the_room_is_ignored() {
    let contents = "mod a; mod b; pub use crate::other::X; pub use b::B;";
    for a in [
        "use crate::other::X;",
        "use super::X;",
        "use super::super::other::X;",
        "use std::b::B;",
        "use b::B;",
        "fn f() { b::f() }",
        "// use super::b::B;",
        "/// [`B`](super::b::B)\nfn f() {}",
        "const TEXT: &str = \"super::b::B\";",
        "#[cfg(test)]\nuse super::b::B;",
        "#[cfg(test)]\nmod tests { use super::super::b::B; fn f() { super::super::b::f() } }",
        "fn f(&self) -> Self { self.b }",
        "fn f() -> impl Fn() + use<'_> { super::super::other::f }",
    ] {
        assert!(from_a(contents, a).is_empty(), "{a}");
    }
}

#[test]
fn a_room_that_only_shows_its_files_has_no_arrows() {
    let contents = "mod a; mod b; pub use a::A; pub(crate) use b::{B, f}; pub use self::b::C;";
    assert!(
        arrows_of(&[("room/mod.rs", contents), ("room/a.rs", ""), ("room/b.rs", "")]).is_empty()
    );
}

#[test]
fn a_room_that_uses_its_files_has_arrows() {
    for contents in [
        "mod b; use b::B;",
        "mod b; use self::b::B;",
        "mod b; use crate::room::b::B;",
        "mod b; fn f() { b::f() }",
        "mod b; struct S(b::B);",
        "mod b; fn f() { self::b::f() }",
    ] {
        let arrows = arrows_of(&[("room/mod.rs", contents), ("room/b.rs", "")]);
        let expected = BTreeSet::from(["room/b.rs".to_owned()]);
        assert_eq!(arrows.get("room/mod.rs"), Some(&expected), "{contents}");
    }
}

#[test]
fn files_that_are_only_compiled_for_tests_have_no_arrows() {
    let arrows = arrows_of(&[
        ("room/mod.rs", "mod a;\n#[cfg(test)]\nmod b;\n"),
        ("room/a.rs", "struct A;"),
        ("room/b.rs", "use super::a::A;"),
        ("room/c.rs", "#![cfg(test)]\nuse super::a::A;"),
    ]);
    assert!(arrows.is_empty(), "{arrows:?}");
}

#[test]
fn a_room_inside_a_room_is_seen_through() {
    let arrows = arrows_of(&[
        ("room/mod.rs", "mod a; mod inner;"),
        ("room/a.rs", "use super::inner::{Deep, Own};"),
        ("room/inner/mod.rs", "mod deep; pub(super) use deep::Deep; pub(super) struct Own;"),
        ("room/inner/deep.rs", "use super::super::a::A;"),
    ]);
    assert_eq!(
        circles(&arrows),
        ["room/a.rs -> room/inner/deep.rs, room/inner/deep.rs -> room/a.rs"]
    );
    assert!(arrows["room/a.rs"].contains("room/inner/mod.rs"));
}

#[test]
fn a_circle_is_found_and_a_diamond_is_not_one() {
    let diamond = [
        ("room/mod.rs", "mod a; mod b; mod c; mod d;"),
        ("room/a.rs", "use super::{b::B, c::C};"),
        ("room/b.rs", "use super::d::D;"),
        ("room/c.rs", "use super::d::D;"),
    ];
    let last = |source| [&diamond[..], &[("room/d.rs", source)]].concat();
    assert!(circles(&arrows_of(&last(""))).is_empty());
    let found = circles(&arrows_of(&last("use super::c::C;")));
    assert_eq!(found, ["room/c.rs -> room/d.rs, room/d.rs -> room/c.rs"]);
    let found = circles(&arrows_of(&last("fn f() { super::a::f() }")));
    let arrows = [
        "room/a.rs -> room/b.rs",
        "room/a.rs -> room/c.rs",
        "room/b.rs -> room/d.rs",
        "room/c.rs -> room/d.rs",
        "room/d.rs -> room/a.rs",
    ];
    assert_eq!(found, [arrows.join(", ")]);
}
