//! No circles within a directory: files and directories that are siblings import each other in one direction only.
//!
//! ```text
//! use super::x, use self::x, use crate::dir::x, {lists}, names that a mod.rs hands on ─▶ the file that has the item
//! ```
//! What both files of a circle need belongs in the lower one, or in a file of its own. Items below `#[cfg(test)]` are
//! exempt, but not the files of a directory of tests among themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module or item by the names on its path, without the crate's.
type Name = Vec<String>;

/// Who imports whom among the files and directories of one directory.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Names that are handed on are followed this far; a circle of them is an error of the compiler.
const HANDED_ON: usize = 8;

/// The modules of a crate.
#[derive(Default)]
struct Modules {
    /// The words of each module's file, without items for tests.
    words: BTreeMap<Name, Vec<String>>,
    /// Modules that are compiled for tests alone.
    tests: BTreeSet<Name>,
    /// What the `use` declarations of each module bring into scope: a name, and the path of what it names.
    scope: BTreeMap<Name, BTreeMap<String, Name>>,
}

impl Modules {
    fn of<'a>(files: impl IntoIterator<Item = (&'a Path, String)>) -> Self {
        let mut modules = Self::default();
        for (path, text) in files {
            let mut name: Name = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let file = name.pop().unwrap_or_default();
            name.extend(Some(file.trim_end_matches(".rs").to_owned()).filter(|file| file != "mod" && file != "lib"));
            let (code, tests) = without_tests(&text);
            modules.tests.extend(tests.into_iter().map(|test| [name.as_slice(), &[test]].concat()));
            modules.words.insert(name, words(&code));
        }
        for (module, words) in &modules.words {
            let used = paths_after(words, |word| word == "use", 1);
            let known = used.into_iter().filter_map(|(path, name)| Some((name, modules.absolute(module, &path)?)));
            modules.scope.insert(module.clone(), known.collect());
        }
        modules
    }

    /// The path from the root of the crate; none for other crates.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Name> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module, &path[1..]].concat()),
            "super" => Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat()),
            _ => Some([module, path].concat()).filter(|child| self.words.contains_key(&child[..=module.len()])),
        }
    }

    /// The path of the item itself, where modules only hand it on.
    fn origin(&self, mut path: Name) -> Name {
        for _ in 0..HANDED_ON {
            let above = (0..path.len()).rev().find(|depth| self.words.contains_key(&path[..*depth])).unwrap_or(0);
            let Some(item) = path.get(above).filter(|_| !self.words.contains_key(&path)) else { break };
            let Some(origin) = self.scope.get(&path[..above]).and_then(|scope| scope.get(item)) else { break };
            path = [origin, &path[above + 1..]].concat();
        }
        path
    }

    /// Who imports whom, for each directory.
    fn imports(&self) -> BTreeMap<Name, Imports> {
        let mut imports: BTreeMap<Name, Imports> = BTreeMap::new();
        for (module, words) in &self.words {
            let test = (1..=module.len()).find(|depth| self.tests.contains(&module[..*depth]));
            for (path, _) in paths_after(words, |word| ["crate", "super", "self"].contains(&word), 0) {
                let Some(path) = self.absolute(module, &path).map(|path| self.origin(path)) else { continue };
                let common = module.iter().zip(&path).take_while(|(own, other)| own == other).count();
                let (Some(user), Some(used)) = (module.get(common), path.get(common)) else { continue };
                let is_exempt = test.is_some_and(|depth| depth > common);
                if common > 0 && !is_exempt && self.words.contains_key(&path[..=common]) {
                    let directory = imports.entry(module[..common].to_vec()).or_default();
                    directory.entry(user.clone()).or_default().insert(used.clone());
                }
            }
        }
        imports
    }

    /// One circle of each group of siblings that import each other.
    fn circles(&self) -> Vec<String> {
        let of = |(directory, imports): (Name, Imports)| {
            let shown = |circle: Vec<String>| format!("src/{}: {}", directory.join("/"), circle.join(" → "));
            circles(imports).into_iter().map(shown).collect::<Vec<_>>()
        };
        self.imports().into_iter().flat_map(of).collect()
    }
}

/// The code without items for tests, and the names of the modules among those.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut tests) = (String::new(), Vec::new());
    let mut lines = text.lines();
    let indent = |line: &str| line.len() - line.trim_start().len();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.extend([line.split("//").next().unwrap_or_default(), "\n"]);
            continue;
        }
        for of_item in lines.by_ref() {
            let words = words(of_item);
            tests.extend(words.iter().position(|word| word == "mod").and_then(|at| words.get(at + 1).cloned()));
            if indent(of_item) == indent(line) && of_item.ends_with([';', '}', ',']) {
                break;
            }
        }
    }
    (code, tests)
}

/// Words and `::`, and every other character alone.
fn words(code: &str) -> Vec<String> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut words, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|c| !in_word(c)).unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

/// The paths that begin `after` words after each that `begins` one, and the name that each brings into scope.
fn paths_after(words: &[String], begins: impl Fn(&str) -> bool, after: usize) -> Vec<(Name, String)> {
    let starts = (0..words.len()).filter(|&at| begins(&words[at]) && (at == 0 || words[at - 1] != "::"));
    starts.flat_map(|at| paths(words, &mut (at + after), &[])).collect()
}

/// The paths of the tree that begins at a word: one, or those of a list in braces.
fn paths(words: &[String], at: &mut usize, above: &[String]) -> Vec<(Name, String)> {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|own| own == word);
    let mut path = above.to_vec();
    loop {
        if is(*at, "{") {
            let mut list = Vec::new();
            while !is(*at, "}") && *at < words.len() {
                *at += 1;
                list.extend(paths(words, at, &path));
            }
            *at += 1;
            return list;
        }
        // In a list, `self` is what the list belongs to.
        path.extend(words.get(*at).filter(|word| path.is_empty() || *word != "self").cloned());
        *at += 1;
        if !is(*at, "::") {
            break;
        }
        *at += 1;
    }
    let renamed = is(*at, "as").then(|| words.get(*at + 1).cloned()).flatten();
    *at += if renamed.is_some() { 2 } else { 0 };
    let name = renamed.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, name)]
}

/// Circles of imports, each ending where it began; no name is in two.
fn circles(mut imports: Imports) -> Vec<Vec<String>> {
    let mut circles = Vec::new();
    loop {
        let users: BTreeSet<String> = imports.keys().cloned().collect();
        imports.values_mut().for_each(|used| used.retain(|name| users.contains(name)));
        imports.retain(|_, used| !used.is_empty());
        // Who imports nothing that is left is in no circle.
        if imports.len() < users.len() {
            continue;
        }
        let Some(first) = imports.keys().next() else { return circles };
        let mut way = vec![first.clone()];
        let begin = loop {
            let Some(next) = way.last().and_then(|last| imports[last].first().cloned()) else { return circles };
            let known = way.iter().position(|name| *name == next);
            way.push(next);
            if let Some(known) = known {
                break known;
            }
        };
        let circle = way.split_off(begin);
        imports.retain(|name, _| !circle.contains(name));
        circles.push(circle);
    }
}

#[test]
fn no_two_siblings_import_each_other() {
    let sources = super::sources();
    let modules = Modules::of(sources.iter().map(|source| (source.path.as_path(), source.lines.join("\n"))));
    assert!(modules.imports().len() > 20, "imports are read");
    assert_eq!(modules.circles(), [""; 0], "move what both need into the lower file, or into one of its own");
}

#[test]
fn a_cycle_is_found_however_it_is_written() {
    let circles = |x: &str, y: &str, z: &str| {
        let above = "mod x;\nmod y;\n#[cfg(test)]\nmod z;\npub use self::{x::{self, X}, y::Y as Why};\n";
        let files = [("d/mod.rs", above), ("d/x.rs", x), ("d/y/mod.rs", y), ("d/y/deep.rs", z), ("d/z.rs", z)];
        Modules::of(files.map(|(path, text)| (Path::new(path), text.to_owned()))).circles()
    };
    let found = ["src/d: x → y → x"];
    assert_eq!(circles("use super::y::Y;", "use super::x::X;", ""), found);
    assert_eq!(circles("use crate::d::{other, y::{Y, Z}};", "let x = super::x::X;", ""), found);
    assert_eq!(circles("use super::Why;", "use crate::d::X;", ""), found, "names that are handed on");
    assert_eq!(circles("use crate::d::Why as Y;", "", "use super::super::X;"), found, "from a directory");
    assert_eq!(circles("use super::y::Y;", "// super::x", ""), [""; 0]);
    assert_eq!(circles("use super::y::Y;", "#[cfg(test)]\nmod tests {\n    use super::super::x;\n}\n", ""), [""; 0]);
    assert_eq!(circles("use super::z::Z;", "", "use crate::d::x::X;"), [""; 0], "a module for tests");
    let round_about = [("a", ["b"]), ("b", ["c"]), ("c", ["b"]), ("d", ["a"])];
    let imports = round_about.map(|(user, used)| (user.to_owned(), used.map(str::to_owned).into()));
    assert_eq!(super::circles::circles(imports.into()), [["b", "c", "b"]]);
}
