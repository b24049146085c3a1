//! A crate's modules and what each of them uses, read off the sources with `syn`.
//!
//! A use is resolved to the module that *defines* the name: a name that a parent only re-exports counts as a use of the
//! child that defines it. Test modules are left out, because tests may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use syn::visit::Visit;

/// Longest chain of re-exports that is followed. A longer one is a loop.
const MAX_REEXPORTS: usize = 16;

/// The modules of one crate by their paths, for example `foundry::logs::reader`. The root's path is empty.
#[derive(Debug, Default)]
pub(super) struct Modules {
    by_path: BTreeMap<String, Module>,
}

/// One module that is a file.
#[derive(Debug, Default)]
struct Module {
    /// Relative to the crate's sources, with `/`.
    file: String,
    /// Every path in it that begins with `crate`, `self` or `super`.
    paths: Vec<(usize, Vec<String>)>,
    /// What it re-exports: the name and the path behind it.
    reexports: BTreeMap<String, Vec<String>>,
    /// The modules of which it re-exports everything.
    globs: Vec<Vec<String>>,
    /// The names that it defines itself.
    defined: BTreeSet<String>,
}

/// One module uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// The file that says so, relative to the crate's sources.
    pub(super) file: String,
    pub(super) line: usize,
    /// Module paths.
    pub(super) from: String,
    pub(super) to: String,
    /// The path as written.
    pub(super) written: String,
}

impl Modules {
    /// Reads all modules below `sources`, which holds `lib.rs`. The programs, `main.rs` and what is in `bin/`, are other crates.
    pub(super) fn read(sources: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        super::collect(sources, sources, &mut files)
            .map_err(|error| format!("{} cannot be read: {error}", sources.display()))?;
        let mut texts = Vec::new();
        for file in
            files.into_iter().filter(|file| super::is_rust(file) && file != "main.rs" && !file.starts_with("bin/"))
        {
            let text =
                fs::read_to_string(sources.join(&file)).map_err(|error| format!("{file} cannot be read: {error}"))?;
            texts.push((file, text));
        }
        Self::parse(&texts)
    }

    /// The same from pairs of file and text.
    pub(super) fn parse(files: &[(String, String)]) -> Result<Self, String> {
        let mut modules = Self::default();
        let mut tests = BTreeSet::new();
        for (file, text) in files {
            let parsed = syn::parse_file(text).map_err(|error| format!("{file} is not valid Rust: {error}"))?;
            let path = module_path(file);
            let mut reader =
                Reader { module: Module { file: file.clone(), ..Module::default() }, within: path.clone() };
            reader.visit_file(&parsed);
            tests.extend(parsed.items.iter().filter_map(|item| match item {
                syn::Item::Mod(module) if is_test(&module.attrs) => Some(join(&path, &module.ident.to_string())),
                _ => None,
            }));
            modules.by_path.insert(path, reader.module);
        }
        modules.by_path.retain(|path, _| !tests.iter().any(|test| is_within(path, test)));
        Ok(modules)
    }

    /// The top-level modules, `lib` for the root.
    pub(super) fn rooms(&self) -> BTreeSet<String> {
        self.by_path.keys().map(|path| room(path).to_owned()).collect()
    }

    /// Every use of one module by another.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, module) in &self.by_path {
            for (line, path) in &module.paths {
                let to = self.resolve(from, path, 0);
                if to != *from {
                    let written = path.join("::");
                    uses.push(Use { file: module.file.clone(), line: *line, from: from.clone(), to, written });
                }
            }
        }
        uses
    }

    /// The module that defines what `path`, written in `from`, names.
    fn resolve(&self, from: &str, path: &[String], depth: usize) -> String {
        let mut at = from.to_owned();
        let mut rest = path.iter().peekable();
        while let Some(first) = rest.peek() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => parent(&at.clone()).clone_into(&mut at),
                _ => break,
            }
            rest.next();
        }
        while let Some(name) = rest.peek() {
            let child = join(&at, name);
            if !self.by_path.contains_key(&child) {
                break;
            }
            at = child;
            rest.next();
        }
        let Some(module) = self.by_path.get(&at) else { return at };
        let (Some(name), true) = (rest.next(), depth < MAX_REEXPORTS) else { return at };
        let behind = module.reexports.get(name).map(|path| self.resolve(&at, path, depth + 1));
        behind
            .or_else(|| {
                let globs = module.globs.iter().map(|glob| self.resolve(&at, glob, depth + 1));
                globs.filter(|_| !module.defined.contains(name)).find(|glob| {
                    self.by_path
                        .get(glob)
                        .is_some_and(|module| module.defined.contains(name) || module.reexports.contains_key(name))
                })
            })
            .unwrap_or(at)
    }
}

/// The room that a module is in: the first part of its path; `lib` for the root.
pub(super) fn room(path: &str) -> &str {
    match path.split("::").next() {
        Some("") | None => "lib",
        Some(room) => room,
    }
}

/// Is `path` the module `ancestor` or below it?
pub(super) fn is_within(path: &str, ancestor: &str) -> bool {
    ancestor.is_empty() || path == ancestor || path.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with("::"))
}

/// The children of the modules' closest common ancestor that lead to `a` and to `b`, and that ancestor; nothing when one of the
/// two is above the other.
pub(super) fn siblings(a: &str, b: &str) -> Option<(String, String, String)> {
    if is_within(a, b) || is_within(b, a) {
        return None;
    }
    let mut shared = String::new();
    for (left, right) in a.split("::").zip(b.split("::")) {
        let (left, right) = (join(&shared, left), join(&shared, right));
        if left != right {
            return Some((shared, left, right));
        }
        shared = left;
    }
    None
}

fn parent(path: &str) -> &str {
    path.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }
}

/// `foundry/logs.rs` is `foundry::logs`; `lib.rs` is the root.
fn module_path(file: &str) -> String {
    let path = file.trim_end_matches(".rs").replace('/', "::");
    if path == "lib" { String::new() } else { path }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// Gathers what one file says.
struct Reader {
    module: Module,
    within: String,
}

impl Reader {
    /// Every path of a `use`; names that the outside can see are re-exports.
    fn use_tree(&mut self, tree: &syn::UseTree, path: &mut Vec<String>, is_public: bool) {
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.use_tree(&part.tree, path, is_public);
                path.pop();
            }
            syn::UseTree::Name(name) => self.used(name.ident.span(), path, &name.ident, &name.ident, is_public),
            syn::UseTree::Rename(name) => self.used(name.ident.span(), path, &name.ident, &name.rename, is_public),
            syn::UseTree::Glob(glob) => {
                self.path(glob.star_token.spans[0], path.clone());
                if is_public {
                    self.module.globs.push(path.clone());
                }
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, path, is_public);
                }
            }
        }
    }

    fn used(
        &mut self,
        span: proc_macro2::Span,
        path: &[String],
        name: &syn::Ident,
        shown: &syn::Ident,
        is_public: bool,
    ) {
        let mut whole = path.to_vec();
        if name != "self" {
            whole.push(name.to_string());
        }
        if is_public {
            let shown = if shown == "self" { whole.last().cloned().unwrap_or_default() } else { shown.to_string() };
            self.module.reexports.insert(shown, whole.clone());
        }
        self.path(span, whole);
    }

    fn path(&mut self, span: proc_macro2::Span, path: Vec<String>) {
        if path.first().is_some_and(|first| ["crate", "self", "super"].contains(&first.as_str())) {
            self.module.paths.push((span.start().line, path));
        }
    }

    /// Paths among the words of a macro's call, which only the macro parses.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Ident(name) => {
                    let (name, span) = (name.to_string(), name.span());
                    let continues = colons == 2 && !path.is_empty();
                    if !continues {
                        path.clear();
                    }
                    path.push(name);
                    colons = 0;
                    if path.len() > 1 {
                        self.path(span, path.clone());
                    }
                }
                proc_macro2::TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                proc_macro2::TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    path.clear();
                }
                _ => path.clear(),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Const(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            syn::Item::Static(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Use(item) => (&item.attrs, None),
            _ => return syn::visit::visit_item(self, item),
        };
        if is_test(attributes) {
            return;
        }
        self.module.defined.extend(name.map(ToString::to_string));
        syn::visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        // Within a module without a separate file, `super` leads to this file.
        let Some((_, items)) = &module.content else { return };
        let mut inner = Self { module: Module::default(), within: join(&self.within, &module.ident.to_string()) };
        for item in items {
            inner.visit_item(item);
        }
        for (line, path) in inner.module.paths {
            let climbs = path.iter().take_while(|part| *part == "super").count();
            match (climbs, path.first().map(String::as_str)) {
                (0, Some("self")) | (1, _) => {}
                (0, _) => self.module.paths.push((line, path)),
                _ => self.module.paths.push((line, path.into_iter().skip(1).collect())),
            }
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new(), !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            self.path(first.ident.span(), path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(super)` uses nothing.
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}
