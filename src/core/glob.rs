//! Patterns of names, for `--stream` and `match`: `*` matches any characters, `?` matches one.

/// Whether the text contains a wildcard, and so may match several names.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// What every name that `pattern` matches begins with.
pub fn head(pattern: &str) -> &str {
    let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
    &pattern[..end]
}

/// Whether `pattern` matches `name`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut letter) = (0, 0);
    // Where the last `*` is, and the letter from which the rest has been tried.
    let mut star: Option<(usize, usize)> = None;
    while letter < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, letter));
                at += 1;
            }
            (Some(it), _) if *it == '?' || *it == name[letter] => {
                at += 1;
                letter += 1;
            }
            (_, Some((last, tried))) => {
                at = last;
                letter = tried + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|it| *it == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_letters() {
        for (pattern, yes, no) in [
            ("orders", &["orders"][..], &["order", "orders2", ""][..]),
            (
                "prod-*",
                &["prod-", "prod-a", "prod-*"],
                &["prod", "xprod-a"],
            ),
            ("*-eu", &["a-eu", "-eu-eu"], &["a-eu1", "eu"]),
            ("a*b*c", &["abc", "aXbbYcc", "abcbc"], &["ab", "acb"]),
            ("?rders", &["orders", "Orders"], &["rders", "oorders"]),
            ("*", &["", "a"], &[]),
            ("**?", &["a", "ab"], &[""]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn the_head_is_what_precedes_the_first_wildcard() {
        for (pattern, beginning) in [
            ("prod-*", "prod-"),
            ("a?c*", "a"),
            ("*", ""),
            ("abc", "abc"),
        ] {
            assert_eq!(head(pattern), beginning, "{pattern}");
            assert_eq!(is_pattern(pattern), beginning != pattern, "{pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let name = "a".repeat(5_000);
        assert!(!matches(&("*a".repeat(200) + "b"), &name));
    }
}
