//! What limits a stream's scaling at one time: its bounds, windows, pauses and mute rules, all as
//! one kind of value.

use jiff::Timestamp;

use crate::{
    alarm::Direction, datetime::at, limits::MAX_SHARDS, reason::Reason, subscription::Subscription,
};

/// Who limits the scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// `min_shards` and `max_shards` of the stream.
    Bounds,
    /// A window of the configuration.
    Window,
    /// A person's `pause`.
    Pause,
    /// An alarm mute rule in CloudWatch.
    MuteRule,
}

/// The directions that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hold {
    Up,
    Down,
    Both,
}

/// One limit that is in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constraint {
    pub source: Source,
    /// No scaling leads below this.
    pub floor: Option<u32>,
    /// No scaling leads above this.
    pub cap: Option<u32>,
    pub hold: Option<Hold>,
    /// When it ends, where that is known.
    pub until: Option<Timestamp>,
    /// What it is and from whom, in words.
    pub by: String,
}

/// A limit on the shard count, and the constraint that it comes from, unless it is AWS's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<'a> {
    pub shards: u32,
    pub from: Option<&'a Constraint>,
}

/// What all constraints together come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce<'a> {
    /// Never above `cap`.
    pub floor: Limit<'a>,
    pub cap: Limit<'a>,
    constraints: &'a [Constraint],
}

impl<'a> InForce<'a> {
    /// The highest floor, the lowest cap and every hold, in whatever order they come. The floors and
    /// caps of windows replace those of the stream's bounds.
    pub fn of(constraints: &'a [Constraint]) -> Self {
        let is_window = |it: &Constraint| it.source == Source::Window;
        let floors = constraints.iter().filter(|it| it.floor.is_some());
        let floor = floors.max_by_key(|it| (is_window(it), it.floor, ends(it), *it));
        let caps = constraints.iter().filter(|it| it.cap.is_some());
        let cap = caps.min_by_key(|it| (!is_window(it), it.cap, *it));
        let cap = Limit {
            shards: cap.and_then(|it| it.cap).unwrap_or(MAX_SHARDS),
            from: cap,
        };
        let shards = floor.and_then(|it| it.floor).unwrap_or(1);
        Self {
            floor: Limit {
                shards: shards.min(cap.shards),
                from: floor,
            },
            cap,
            constraints,
        }
    }

    /// The window that holds a direction; of several, the one that lasts longest.
    pub fn window(&self, direction: Direction) -> Option<&'a Constraint> {
        self.hold(direction, |source| source == Source::Window)
    }

    /// The pause or mute rule that holds a direction; of several, the one that lasts longest.
    pub fn switch(&self, direction: Direction) -> Option<&'a Constraint> {
        self.hold(direction, |source| source != Source::Window)
    }

    fn hold(&self, direction: Direction, of: fn(Source) -> bool) -> Option<&'a Constraint> {
        let holds = |it: &&Constraint| it.hold.is_some_and(|hold| hold.holds(direction));
        let holding = self.constraints.iter().filter(holds);
        let holding = holding.filter(|it| of(it.source));
        holding.max_by_key(|it| (ends(it), *it))
    }
}

/// One without a known end lasts longest.
fn ends(constraint: &Constraint) -> Timestamp {
    constraint.until.unwrap_or(Timestamp::MAX)
}

impl Source {
    /// The stable code of the JSON that `status` prints.
    pub fn code(self) -> &'static str {
        match self {
            Self::Bounds => "bounds",
            Self::Window => "window",
            Self::Pause => "pause",
            Self::MuteRule => "mute_rule",
        }
    }
}

impl From<Direction> for Hold {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Up,
            Direction::Down => Self::Down,
        }
    }
}

impl Hold {
    /// Every hold there is.
    const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Both];

    /// The stable code of configurations and rows.
    pub fn code(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }

    /// The hold with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hold| hold.code() == code)
    }

    /// Whether it holds `direction`.
    pub fn holds(self, direction: Direction) -> bool {
        match self {
            Self::Up => direction == Direction::Up,
            Self::Down => direction == Direction::Down,
            Self::Both => true,
        }
    }
}

impl Constraint {
    /// The bounds of a stream.
    pub fn bounds(subscription: &Subscription) -> Self {
        Self {
            source: Source::Bounds,
            floor: Some(subscription.min_shards),
            cap: Some(subscription.max_shards),
            hold: None,
            until: None,
            by: String::new(),
        }
    }

    /// The reason for which a scaling that it holds is held.
    pub fn reason(&self) -> Reason {
        match self.source {
            Source::MuteRule => Reason::Muted,
            Source::Window => Reason::Window,
            Source::Bounds | Source::Pause => Reason::Paused,
        }
    }

    /// Who holds, and until when.
    pub fn holds_in_words(&self) -> String {
        match self.source {
            Source::Window => format!("{} holds it{}", self.by, self.until()),
            // These name their end themselves.
            _ => self.by.clone(),
        }
    }

    /// All that it means: `the window … is open until …: min_shards = 20, no scale-down`.
    pub fn in_words(&self) -> String {
        if self.source != Source::Window {
            return self.by.clone();
        }
        let floor = self.floor.map(|n| format!("min_shards = {n}"));
        let cap = self.cap.map(|n| format!("max_shards = {n}"));
        let hold = self.hold.map(|hold| match hold {
            Hold::Up => "no scale-up".to_owned(),
            Hold::Down => "no scale-down".to_owned(),
            Hold::Both => "no scaling by alarms".to_owned(),
        });
        let parts: Vec<String> = [floor, cap, hold].into_iter().flatten().collect();
        format!("{} is open{}: {}", self.by, self.until(), parts.join(", "))
    }

    /// What a floor is called.
    pub fn names_floor(&self) -> String {
        self.names("min_shards")
    }

    /// What a cap is called.
    pub fn names_cap(&self) -> String {
        self.names("max_shards")
    }

    fn names(&self, key: &str) -> String {
        match self.source {
            Source::Bounds => key.to_owned(),
            _ => format!("{key} of {}{}", self.by, self.until()),
        }
    }

    /// ` until TIME`, where the end is known.
    pub fn until(&self) -> String {
        let until = self.until.map(|until| format!(" until {}", at(until)));
        until.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).expect("a time")
    }

    fn constraints() -> impl Strategy<Value = Vec<Constraint>> {
        let source = prop_oneof![
            Just(Source::Bounds),
            Just(Source::Window),
            Just(Source::Pause),
            Just(Source::MuteRule),
        ];
        let hold = prop_oneof![Just(Hold::Up), Just(Hold::Down), Just(Hold::Both)];
        let shards = || prop::option::of(1u32..40);
        let until = prop::option::of(0i64..5);
        let of = (
            source,
            shards(),
            shards(),
            prop::option::of(hold),
            until,
            "[a-c]",
        );
        let constraint = of.prop_map(|(source, floor, cap, hold, until, by)| Constraint {
            source,
            floor,
            cap,
            hold,
            until: until.map(time),
            by,
        });
        prop::collection::vec(constraint, 0..8)
    }

    /// The floors or caps that count: those of windows, or else all.
    fn counted(all: &[Constraint], of: fn(&Constraint) -> Option<u32>) -> Vec<u32> {
        let windows = all.iter().filter(|it| it.source == Source::Window);
        let windows: Vec<u32> = windows.filter_map(of).collect();
        match windows.is_empty() {
            true => all.iter().filter_map(of).collect(),
            false => windows,
        }
    }

    proptest! {
        #[test]
        fn the_highest_floor_and_the_lowest_cap_hold_in_whatever_order(
            all in constraints(), mut shuffled in constraints(), seed in 0usize..1000,
        ) {
            let in_force = InForce::of(&all);
            let cap = counted(&all, |it| it.cap).into_iter().min().unwrap_or(MAX_SHARDS);
            let floor = counted(&all, |it| it.floor).into_iter().max().unwrap_or(1);
            prop_assert_eq!(in_force.cap.shards, cap);
            prop_assert_eq!(in_force.floor.shards, floor.min(cap));
            shuffled.clone_from(&all);
            if !shuffled.is_empty() {
                let by = seed % shuffled.len();
                shuffled.rotate_left(by);
                shuffled[by..].reverse();
            }
            let again = InForce::of(&shuffled);
            prop_assert_eq!((again.floor, again.cap), (in_force.floor, in_force.cap));
            for direction in [Direction::Up, Direction::Down] {
                prop_assert_eq!(again.window(direction), in_force.window(direction));
                prop_assert_eq!(again.switch(direction), in_force.switch(direction));
            }
        }

        #[test]
        fn a_direction_is_held_as_long_as_anything_holds_it(all in constraints()) {
            let in_force = InForce::of(&all);
            for direction in [Direction::Up, Direction::Down] {
                for windows in [true, false] {
                    let found = match windows {
                        true => in_force.window(direction),
                        false => in_force.switch(direction),
                    };
                    let holds = |it: &&Constraint| {
                        (it.source == Source::Window) == windows
                            && it.hold.is_some_and(|hold| hold.holds(direction))
                    };
                    let until = |it: &Constraint| it.until.unwrap_or(Timestamp::MAX);
                    let longest = all.iter().filter(holds).map(until).max();
                    prop_assert_eq!(found.map(until), longest);
                }
            }
        }
    }

    #[test]
    fn a_window_replaces_the_bounds_of_the_stream() {
        let bounds = Constraint {
            source: Source::Bounds,
            floor: Some(4),
            cap: Some(20),
            hold: None,
            until: None,
            by: String::new(),
        };
        let window = Constraint {
            source: Source::Window,
            until: Some(time(0)),
            by: "the window".to_owned(),
            ..bounds.clone()
        };
        let check = |floor, cap, expected: (u32, u32)| {
            let window = Constraint {
                floor,
                cap,
                ..window.clone()
            };
            let all = [bounds.clone(), window];
            let in_force = InForce::of(&all);
            assert_eq!((in_force.floor.shards, in_force.cap.shards), expected);
        };
        check(Some(8), None, (8, 20));
        check(Some(2), None, (2, 20));
        check(None, Some(40), (4, 40));
        check(Some(30), Some(40), (30, 40));
        // A cap is never exceeded for a floor.
        check(Some(30), None, (20, 20));
        check(None, Some(3), (3, 3));
    }

    #[test]
    fn a_constraint_says_what_it_is_and_until_when() {
        let window = Constraint {
            source: Source::Window,
            floor: Some(8),
            cap: Some(9),
            hold: Some(Hold::Down),
            until: Some(time(0)),
            by: "the window".to_owned(),
        };
        let until = "until 2027-01-15T08:00:00Z";
        assert_eq!(
            window.in_words(),
            format!("the window is open {until}: min_shards = 8, max_shards = 9, no scale-down")
        );
        assert_eq!(
            window.holds_in_words(),
            format!("the window holds it {until}")
        );
        assert_eq!(
            window.names_floor(),
            format!("min_shards of the window {until}")
        );
        assert_eq!(
            window.names_cap(),
            format!("max_shards of the window {until}")
        );
        assert_eq!(window.reason(), Reason::Window);
        let codes = Hold::ALL.map(|hold| Hold::from_code(hold.code()));
        assert_eq!(codes, Hold::ALL.map(Some));
        assert_eq!(Hold::from_code("sideways"), None);
        for (source, reason, code) in [
            (Source::Bounds, Reason::Paused, "bounds"),
            (Source::Pause, Reason::Paused, "pause"),
            (Source::MuteRule, Reason::Muted, "mute_rule"),
        ] {
            let other = Constraint {
                source,
                ..window.clone()
            };
            let seen = (other.reason(), source.code(), other.in_words());
            assert_eq!(seen, (reason, code, "the window".to_owned()));
        }
    }
}
