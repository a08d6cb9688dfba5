//! Every history of a world, or one of each kind of history.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use super::{
    likeness::{of_pair, of_world},
    world::{Action, World},
};

/// The worlds and devices that a search has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Worlds in which a request has just been answered.
    pub worlds: usize,
    /// Devices in a state that some world has, each with the server there.
    pub devices: usize,
}

/// Visits everything that can follow from a world, but of histories that differ in nothing that matters only
/// one.
///
/// What a device does by itself, an edit or receiving an answer, does not involve the server or other
/// devices. So whatever others do in between can also be done before. Every history is therefore like one in
/// which a device does everything that it does by itself directly before it sends a request: it takes a turn.
pub fn search(world: World, mut visit: impl FnMut(&World, usize)) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::from([of_world(&world)]);
    let mut open = vec![world];
    while let Some(world) = open.pop() {
        found.worlds += 1;
        // Only the server does it, so it may come before everything that a device does by itself.
        open.extend(world.compactions().into_iter().filter(|next| seen.insert(of_world(next))));
        let mut alike = HashSet::new();
        for device in 0..world.parts.len() {
            // Alike devices can do alike things, so only one of them does.
            if !alike.insert(world.parts[device].likeness) {
                continue;
            }
            found.devices += turns(&world, device, |next| {
                visit(next, device);
                for action in next.actions(device) {
                    if asks(action) {
                        let mut next = next.clone();
                        next.act(device, action);
                        if seen.insert(of_world(&next)) {
                            open.push(next);
                        }
                    }
                }
            });
        }
    }
    found
}

/// Whether it involves the server.
fn asks(action: Action) -> bool {
    matches!(action, Action::Ask | Action::AskForPage)
}

/// Every state that a device can reach by itself. Returns the number of them.
fn turns(world: &World, device: usize, mut end: impl FnMut(&World)) -> usize {
    let key = |world: &World| (world.parts[device].likeness, world.edits_left);
    let mut seen = HashSet::from([key(world)]);
    let mut open = vec![world.clone()];
    while let Some(world) = open.pop() {
        end(&world);
        for action in world.actions(device) {
            if !asks(action) {
                let mut next = world.clone();
                next.act(device, action);
                if seen.insert(key(&next)) {
                    open.push(next);
                }
            }
        }
    }
    seen.len()
}

/// Visits everything that can follow from a world, in every order.
pub fn search_plainly(world: World, mut visit: impl FnMut(&World, usize)) -> usize {
    let exact = |world: &World| {
        let mut hasher = DefaultHasher::new();
        format!("{world:?}").hash(&mut hasher);
        hasher.finish()
    };
    let mut seen = HashSet::from([exact(&world)]);
    let mut open = vec![world];
    while let Some(world) = open.pop() {
        open.extend(world.compactions().into_iter().filter(|next| seen.insert(exact(next))));
        for device in 0..world.parts.len() {
            visit(&world, device);
            for action in world.actions(device) {
                let mut next = world.clone();
                next.act(device, action);
                if seen.insert(exact(&next)) {
                    open.push(next);
                }
            }
        }
    }
    seen.len()
}

/// The pairs of a device and the server, identified by `likeness`.
pub fn pairs(pairs: &mut HashSet<u128>) -> impl FnMut(&World, usize) {
    |world, device| {
        pairs.insert(of_pair(world, device));
    }
}
