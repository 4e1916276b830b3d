//! What all pictures have in common: the document, text, and both backgrounds.
//!
//! A picture has its own background, and another one for dark viewers. Colours are attributes
//! first, so that it is also right where style sheets are removed.

/// Writing to a string cannot fail.
macro_rules! put {
    ($svg:expr, $($args:tt)*) => { let _ = std::fmt::Write::write_fmt(
        $svg,
        format_args!("{}\n", format_args!($($args)*)),
    ); };
}
pub(crate) use put;

/// The colours of text, lines and background in dark viewers.
const DARK: &str = ".ground { fill: #0d1117 } .ink { fill: #e6edf3 } .soft { fill: #9da7b3 } \
                    .grid { stroke: #30363d }";

/// Begins a document; `dark` has the rules of further classes in dark viewers.
pub fn open((width, height): (f64, f64), title: &str, dark: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" font-family=\"system-ui, 'DejaVu Sans', Arial, sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n<style>@media (prefers-color-scheme: dark) {{ {DARK} {dark} }}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escape(title)
    )
}

/// Text of the class `ink` or `soft`.
pub fn text(
    svg: &mut String,
    class: &str,
    (x, y): (f64, f64),
    anchor: &str,
    size: u32,
    text: &str,
) {
    let (fill, text) = (fill(class), escape(text));
    put!(
        svg,
        "<text class=\"{class}\" fill=\"{fill}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{text}</text>"
    );
}

/// The title of a vertical axis, centred at the point.
pub fn axis_title(svg: &mut String, (x, y): (f64, f64), text: &str) {
    let (fill, text) = (fill("soft"), escape(text));
    put!(
        svg,
        "<text class=\"soft\" fill=\"{fill}\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"12\">{text}</text>"
    );
}

fn fill(class: &str) -> &'static str {
    match class {
        "soft" => "#59636e",
        _ => "#1f2328",
    }
}

/// Text without markup characters; control characters, which XML does not allow, are removed.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}
