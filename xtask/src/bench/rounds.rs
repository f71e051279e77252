//! Rounds in which every subject has its turn, and the figures that they come to.
//!
//! Machines are shared and noisy: what the machine did in a round, all its subjects had to bear. So figures are ratios, with the
//! spread of the ratios of single rounds.

use super::table::{Cell, Table};

/// What is measured, under its name.
pub(super) struct Subject<'a> {
    pub(super) name: String,
    pub(super) measure: Box<dyn FnMut() -> Result<f64, String> + 'a>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(name: impl Into<String>, measure: impl FnMut() -> Result<f64, String> + 'a) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// What a subject came to, a figure for each round.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) name: String,
    pub(super) rounds: Vec<f64>,
}

/// Measures every subject in each of `rounds`, after `warm_up` that do not count.
pub(super) fn measure(subjects: Vec<Subject<'_>>, rounds: usize, warm_up: usize) -> Result<Vec<Figures>, String> {
    let mut subjects = subjects;
    let mut figures: Vec<Figures> =
        subjects.iter().map(|one| Figures { name: one.name.clone(), rounds: Vec::with_capacity(rounds) }).collect();
    for round in 0..rounds + warm_up {
        // The kernel clears up after each sandbox behind the next one's back, so nobody always follows the same one.
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let (Some(subject), Some(figures)) = (subjects.get_mut(at), figures.get_mut(at)) else { continue };
            let figure = (subject.measure)().map_err(|why| format!("{}: {why}", subject.name))?;
            if round >= warm_up {
                figures.rounds.push(figure);
            }
        }
    }
    Ok(figures)
}

/// First quartile, median, third quartile.
pub(super) fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|share| values.get(values.len() * share / 4).copied().unwrap_or(0.0))
}

/// The columns of [`compare`].
pub(super) const COMPARED: [&str; 6] = ["subject", "median", "p25–p75", "× plain", "its p25–p75", "× bubblewrap"];

/// Adds a row for each: its median and spread, and its ratios to `plain` and to `bubblewrap`, where there is one.
pub(super) fn compare(table: &mut Table, all: &[Figures], decimals: usize) {
    let named = |name: &str| all.iter().find(|figures| figures.name == name);
    for own in all {
        let [low, median, high] = quartiles(&own.rounds);
        let to = |name: &str| {
            named(name).map(|peer| (median / quartiles(&peer.rounds)[1].max(f64::MIN_POSITIVE), &peer.rounds))
        };
        let (ratio, spread) = to("plain").map_or((Cell::None, Cell::None), |(ratio, plain)| {
            let ratios: Vec<f64> = own.rounds.iter().zip(plain).map(|(own, plain)| own / plain.max(1e-9)).collect();
            let [low, _, high] = quartiles(&ratios);
            (Cell::Number(ratio, 2), Cell::Spread(low, high, 2))
        });
        let peer = to("bubblewrap").map_or(Cell::None, |(ratio, _)| Cell::Number(ratio, 2));
        let (figure, range) = (Cell::Number(median, decimals), Cell::Spread(low, high, decimals));
        table.row(vec![own.name.as_str().into(), figure, range, ratio, spread, peer]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_in_each_round_and_the_warm_up_does_not_count() {
        let order = std::cell::RefCell::new(Vec::new());
        let subject = |name: &'static str, figure: f64| {
            let order = &order;
            Subject::new(name, move || {
                order.borrow_mut().push(name);
                Ok(figure)
            })
        };
        let all = measure(vec![subject("a", 1.0), subject("b", 2.0)], 2, 1).unwrap();
        assert_eq!(*order.borrow(), ["a", "b", "b", "a", "a", "b"]);
        assert_eq!(all[1].rounds, [2.0, 2.0]);
    }

    #[test]
    fn quartiles_are_those_of_the_sorted_values() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[]), [0.0; 3]);
    }
}
