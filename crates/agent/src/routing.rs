//! Which of several agents serves a cache key: rendezvous hashing (Thaler, Ravishankar, 1998). Every runner computes the
//! same order without coordination. A new agent takes over 1/N of the keys; a removed one moves only its own keys.

use sha2::{Digest, Sha256};

/// Returns the agents in the order in which they serve this key. The hash function must never change: another one would
/// send every job to a cold cache.
pub fn order<T>(key: &str, mut agents: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    agents.sort_by_cached_key(|agent| std::cmp::Reverse(weight(key, name(agent))));
    agents
}

/// Returns the weight of an agent for a key. Names contain no newline, so different pairs have different hash inputs.
fn weight(key: &str, agent: &str) -> [u8; 32] {
    Sha256::digest(format!("{agent}\n{key}")).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn names(number: usize) -> Vec<String> {
        (1..=number).map(|n| format!("agent-{n}")).collect()
    }

    fn first(key: &str, agents: Vec<String>) -> String {
        order(key, agents, |a| a).into_iter().next().expect("an agent")
    }

    proptest! {
        /// The order does not depend on the order of the list.
        #[test]
        fn every_runner_computes_the_same_order(key in ".*", number in 1_usize..20, seed in any::<u64>()) {
            let mut shuffled = names(number);
            let offset = usize::try_from(seed % number as u64).expect("small");
            shuffled.rotate_left(offset);
            prop_assert_eq!(order(&key, shuffled, |a| a), order(&key, names(number), |a| a));
        }

        /// A new agent takes over keys and moves none between the others. In reverse: the keys of a removed agent go to the
        /// next in their order, and no other key moves.
        #[test]
        fn a_new_agent_moves_keys_only_to_itself(key in ".*", number in 1_usize..20) {
            let (before, after) = (first(&key, names(number)), first(&key, names(number + 1)));
            let newcomer = format!("agent-{}", number + 1);
            prop_assert!(after == before || after == newcomer);
            let without: Vec<_> = order(&key, names(number + 1), |a| a)
                .into_iter()
                .filter(|a| *a != newcomer)
                .collect();
            prop_assert_eq!(without, order(&key, names(number), |a| a));
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// 4,000 keys of any prefix on up to 8 agents: each agent gets its share, give or take a quarter, which is more than
        /// five standard deviations.
        #[test]
        fn keys_are_spread_evenly(prefix in "[a-z/:.-]{0,20}", number in 2_usize..=8) {
            let mut shares = BTreeMap::<String, f64>::new();
            for n in 0..4000 {
                *shares.entry(first(&format!("{prefix}{n}"), names(number))).or_default() += 1.0;
            }
            prop_assert_eq!(shares.len(), number);
            let fair = 4000.0 / number as f64;
            for (agent, share) in shares {
                prop_assert!((share - fair).abs() < fair / 4.0, "{} has {} of {}", agent, share, fair);
            }
        }
    }

    /// The hash function never changes, see `order`.
    #[test]
    fn keys_keep_their_agents() {
        let chosen = |key: &str| first(key, names(4));
        let actual: Vec<String> = ["acme/shop", "acme/shop:api", "acme/shop:web", ""]
            .map(chosen)
            .into();
        assert_eq!(actual, ["agent-3", "agent-1", "agent-3", "agent-1"]);
    }
}
