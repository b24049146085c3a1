//! The hints in the sources. A hint is a text that goes into a parameter, variable, field, constant or function whose name says
//! `hint`. What cannot be traced to such a text is refused, so that no hint is missed.

use super::followed::literal;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Expr, Pat};

/// The text of a hint and where it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) text: String,
}

impl Hint {
    /// Is this written in it, without a value that is filled in?
    pub(super) fn contains(&self, part: &str) -> bool {
        segments(&self.text).iter().any(|segment| segment.contains(part))
    }
}

/// The texts between the `{…}` of a format string.
fn segments(text: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.next_if_eq(&letter).is_some() => segments.last_mut().map(|last| last.push(letter)),
            '{' => {
                while letters.next().is_some_and(|letter| letter != '}') {}
                segments.push(String::new());
                None
            }
            _ => segments.last_mut().map(|last| last.push(letter)),
        };
    }
    segments
}

/// Methods that hand the text on.
const PASS_ON: &[&str] = &[
    "to_owned",
    "to_string",
    "into",
    "clone",
    "as_deref",
    "as_ref",
    "filter",
    "take",
    "unwrap_or_default",
    "to_lowercase",
];
/// Methods whose argument is the text, whatever they are called on.
const CHOOSE: &[&str] = &["then", "then_some", "map", "map_or", "map_or_else", "and_then"];
/// Methods whose argument is another text.
const OR: &[&str] = &["or", "or_else", "unwrap_or", "unwrap_or_else", "chain"];

/// All hints of these files (path and text), and what keeps a hint from being found.
pub(super) fn read(files: impl IntoIterator<Item = (String, String)>) -> Result<(Vec<Hint>, Vec<String>), String> {
    let mut parsed = Vec::new();
    for (file, text) in files {
        let syntax = syn::parse_file(&text).map_err(|error| format!("{file} is not valid Rust: {error}"))?;
        parsed.push((file, syntax));
    }
    let mut takers = Takers::default();
    for (_, syntax) in &parsed {
        takers.visit_file(syntax);
    }
    let (mut texts, mut broken) = (Vec::new(), Vec::new());
    for (file, syntax) in parsed {
        let mut reader =
            Reader { takers: &takers.found, texts: &mut texts, broken: &mut broken, file, of: String::new() };
        reader.visit_file(&syntax);
    }
    Ok((texts, broken))
}

fn is_hint(name: &impl ToString) -> bool {
    name.to_string().to_lowercase().contains("hint")
}

/// Tests, and modules of tests.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"))
    })
}

/// A function that takes a hint: its type (empty for a function of no type), its name, and which argument it is.
type Taker = (String, String, usize);

/// Finds the functions that take a hint.
#[derive(Default)]
struct Takers {
    of: String,
    found: BTreeSet<Taker>,
}

impl Takers {
    fn add<'a>(&mut self, name: &syn::Ident, parameters: impl Iterator<Item = &'a Pat>) {
        for (at, parameter) in parameters.enumerate() {
            if named(parameter).is_some_and(is_hint) {
                self.found.insert((self.of.clone(), name.to_string(), at));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Takers {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.of = type_name(&item.self_ty);
        visit::visit_item_impl(self, item);
        self.of.clear();
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        let typed = signature.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => Some(&*typed.pat),
            syn::FnArg::Receiver(_) => None,
        });
        self.add(&signature.ident, typed);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let (Some(name), Some(init)) = (named(&local.pat), &local.init)
            && let Expr::Closure(closure) = &*init.expr
        {
            let of = std::mem::take(&mut self.of);
            self.add(name, closure.inputs.iter());
            self.of = of;
        }
        visit::visit_local(self, local);
    }
}

/// The variable that a simple pattern makes.
fn named(pattern: &Pat) -> Option<&syn::Ident> {
    match pattern {
        Pat::Ident(named) => Some(&named.ident),
        Pat::Type(typed) => named(&typed.pat),
        _ => None,
    }
}

fn type_name(of: &syn::Type) -> String {
    match of {
        syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}

struct Reader<'a> {
    takers: &'a BTreeSet<Taker>,
    texts: &'a mut Vec<Hint>,
    broken: &'a mut Vec<String>,
    file: String,
    /// The type whose methods are read.
    of: String,
}

impl Reader<'_> {
    fn add(&mut self, text: String, line: usize) {
        if segments(&text).iter().any(|segment| segment.chars().any(char::is_alphabetic)) {
            self.texts.push(Hint { file: self.file.clone(), line, text });
        }
    }

    /// The texts that an expression can become. `part`: of a tuple, this one.
    fn take(&mut self, from: &Expr, part: Option<usize>) {
        let mut alternatives: Vec<&Expr> = Vec::new();
        match from {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                self.add(text.value(), text.span().start().line);
            }
            Expr::Macro(call) => match literal(call.mac.tokens.clone()) {
                Some((text, line)) if call.mac.path.is_ident("format") => self.add(text, line),
                _ if call.mac.path.is_ident("unreachable") => {}
                _ => self.untraced(from),
            },
            Expr::Tuple(tuple) => alternatives.extend(part.and_then(|part| tuple.elems.get(part))),
            Expr::Reference(inner) => alternatives.push(&inner.expr),
            Expr::Paren(inner) => alternatives.push(&inner.expr),
            Expr::Try(inner) => alternatives.push(&inner.expr),
            Expr::Closure(closure) => alternatives.push(&closure.body),
            Expr::Block(block) => alternatives.extend(last(&block.block)),
            Expr::If(choice) => {
                alternatives.extend(last(&choice.then_branch));
                alternatives.extend(choice.else_branch.as_ref().map(|(_, other)| &**other));
            }
            Expr::Match(choice) => alternatives.extend(choice.arms.iter().map(|arm| &*arm.body)),
            Expr::Call(call) => match &*call.func {
                Expr::Path(path) if ends_in(path, &["Some", "Ok", "from"]) => alternatives.extend(&call.args),
                Expr::Path(path) if path.path.segments.last().is_some_and(|last| is_hint(&last.ident)) => {}
                _ => self.untraced(from),
            },
            Expr::MethodCall(call) if is_hint(&call.method) => {}
            Expr::MethodCall(call) => {
                let method = call.method.to_string();
                let is_one_of = |names: &[&str]| names.contains(&method.as_str());
                if is_one_of(CHOOSE) || is_one_of(OR) {
                    alternatives.extend(&call.args);
                }
                if is_one_of(PASS_ON) || is_one_of(OR) {
                    alternatives.push(&call.receiver);
                }
                if alternatives.is_empty() {
                    self.untraced(from);
                }
            }
            Expr::Path(path) if ends_in(path, &["None", "new", "to_owned", "default"]) => {}
            Expr::Path(path) if path.path.segments.last().is_some_and(|last| is_hint(&last.ident)) => {}
            Expr::Field(field) => match &field.member {
                syn::Member::Named(name) if is_hint(name) => {}
                _ => self.untraced(from),
            },
            // Elsewhere, or nothing at all.
            Expr::Return(_) | Expr::Continue(_) | Expr::Break(_) => {}
            _ => self.untraced(from),
        }
        for alternative in alternatives {
            self.take(alternative, part);
        }
    }

    fn untraced(&mut self, expression: &Expr) {
        let line = line(expression);
        let file = &self.file;
        self.broken.push(format!(
            "{file}:{line}: this hint cannot be traced; write it here, or take it from something named hint"
        ));
    }

    fn take_arguments(&mut self, of: &str, name: &str, arguments: &syn::punctuated::Punctuated<Expr, syn::Token![,]>) {
        let takers = self.takers;
        for (at, argument) in arguments.iter().enumerate() {
            // A method is called on whatever it is called on.
            let is_it =
                |(type_name, taker, place): &Taker| (of == "." || type_name == of) && taker == name && *place == at;
            if takers.iter().any(is_it) {
                self.take(argument, None);
            }
        }
    }
}

/// About where an expression is.
fn line(expression: &Expr) -> usize {
    let of_path = |path: &syn::Path| path.segments.last().map_or(0, |last| last.ident.span().start().line);
    match expression {
        Expr::Path(path) => of_path(&path.path),
        Expr::Macro(call) => of_path(&call.mac.path),
        Expr::Call(call) => line(&call.func),
        Expr::MethodCall(call) => call.method.span().start().line,
        Expr::Field(field) => line(&field.base),
        _ => 0,
    }
}

fn last(block: &syn::Block) -> Option<&Expr> {
    match block.stmts.last()? {
        syn::Stmt::Expr(last, None) => Some(last),
        _ => None,
    }
}

fn ends_in(path: &syn::ExprPath, names: &[&str]) -> bool {
    path.path.segments.last().is_some_and(|last| names.iter().any(|name| last.ident == name))
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = std::mem::replace(&mut self.of, type_name(&item.self_ty));
        visit::visit_item_impl(self, item);
        self.of = outer;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test(&function.attrs) {
            self.function(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        if is_hint(&constant.ident) {
            self.take(&constant.expr, None);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            match &local.pat {
                Pat::Tuple(tuple) => {
                    let at = tuple.elems.iter().position(|part| named(part).is_some_and(is_hint));
                    if at.is_some() {
                        self.take(&init.expr, at);
                    }
                }
                one if named(one).is_some_and(is_hint) => self.take(&init.expr, None),
                _ => {}
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if matches!(&field.member, syn::Member::Named(name) if is_hint(name)) {
            self.take(&field.expr, None);
        }
        visit::visit_field_value(self, field);
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        if matches!(&*assign.left, Expr::Field(syn::ExprField { member: syn::Member::Named(name), .. }) if is_hint(name))
        {
            self.take(&assign.right, None);
        }
        visit::visit_expr_assign(self, assign);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            if let Some((name, before)) = names.split_last() {
                let of = match before.last().map(String::as_str) {
                    Some("Self") => self.of.clone(),
                    Some(of) if of.starts_with(char::is_uppercase) => of.to_owned(),
                    _ => String::new(),
                };
                self.take_arguments(&of, name, &call.args);
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.take_arguments(".", &call.method.to_string(), &call.args);
        visit::visit_expr_method_call(self, call);
    }
}

impl Reader<'_> {
    /// A function whose name says hint gives one back.
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let gives = matches!(&signature.output, syn::ReturnType::Type(_, given) if !matches!(type_name(given).as_str(), "Self"));
        if !is_hint(&signature.ident) || !gives {
            return;
        }
        if let Some(last) = last(block) {
            self.take(last, None);
        }
        let mut returns = Returns(Vec::new());
        returns.visit_block(block);
        for given in returns.0 {
            self.take(given, None);
        }
    }
}

/// What a function returns early.
struct Returns<'ast>(Vec<&'ast Expr>);

impl<'ast> Visit<'ast> for Returns<'ast> {
    fn visit_expr_return(&mut self, given: &'ast syn::ExprReturn) {
        self.0.extend(given.expr.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> (Vec<String>, Vec<String>) {
        let (texts, broken) = read([("src/a.rs".to_owned(), source.to_owned())]).unwrap();
        (texts.into_iter().map(|text| text.text).collect(), broken)
    }

    #[test]
    fn a_hint_is_found_wherever_it_is_written() {
        let takes = "impl E { fn hint(self, hint: String) -> Self { self } fn wrong(said: &str, hint: &str) {} } fn usage(said: &str, hint: &str) {}";
        for source in [
            r#"fn a() { e("no").hint("try b") }"#,
            r#"fn a() { e("no").hint(format!("try b", x = "c")) }"#,
            r#"fn a() { E::wrong("no", "try b"); usage("no", x.hint()) }"#,
            r#"impl E { fn a() { Self::wrong("no", "try b"); } }"#,
            r#"fn a() { Err(usage("no", "try b".to_owned())) }"#,
            r#"const A_HINT: &str = "try b";"#,
            r#"fn a() { let hint = if is_so == "c" { Some("try b") } else { None }; }"#,
            r#"fn a() { let (kind, hint) = match x { "c" => (1, "try b"), _ => return Err("no") }; }"#,
            r#"fn a() -> E { E { said: "no", hint: Some("try b".into()) } }"#,
            r#"fn a() { data.hint = Some("try b"); }"#,
            r#"fn file_hint() -> &str { if x { return "try b"; } other_hint("c") }"#,
            r#"fn a() { let refuse = |said, hint: &str| no(); refuse("no", "try b") }"#,
        ] {
            let (texts, broken) = found(&format!("{source}\n{takes}"));
            assert_eq!((texts, broken), (vec!["try b".to_owned()], Vec::new()), "{source}");
        }
    }

    #[test]
    fn a_hint_that_cannot_be_traced_is_refused() {
        for source in ["fn a() { e().hint(advise()) }", "fn a() { e().hint(text) }", "fn a() { let hint = x.says(); }"]
        {
            let (texts, broken) = found(&format!("{source} impl E {{ fn hint(self, hint: &str) {{}} }}"));
            assert!(texts.is_empty() && broken.len() == 1, "{source}: {texts:?} {broken:?}");
        }
        for source in ["#[cfg(test)] mod tests { fn a() { let hint = x.says(); } }", "#[test] fn a() { let hint = 1; }"]
        {
            assert_eq!(found(source), (Vec::new(), Vec::new()));
        }
    }

    #[test]
    fn a_value_that_is_filled_in_is_not_part_of_the_text() {
        assert_eq!(segments("a {b} c {{d}} {e:?}"), ["a ", " c {d} ", ""]);
    }
}
