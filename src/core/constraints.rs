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
    up: Option<&'a Constraint>,
    down: Option<&'a Constraint>,
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
        let hold = |direction| {
            let holds = |it: &&Constraint| it.hold.is_some_and(|hold| hold.holds(direction));
            let holding = constraints.iter().filter(holds);
            holding.max_by_key(|it| (ends(it), *it))
        };
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
            up: hold(Direction::Up),
            down: hold(Direction::Down),
        }
    }

    /// What holds a direction; of several, the one that lasts longest.
    pub fn hold(&self, direction: Direction) -> Option<&'a Constraint> {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
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
            Source::Bounds | Source::Window | Source::Pause => Reason::Paused,
        }
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
