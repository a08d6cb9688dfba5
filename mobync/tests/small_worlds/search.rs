//! Every history of a world, or of each kind of history one.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use super::{
    likeness::{of_pair, of_world},
    world::{Action, World},
};

/// What a search came across.
#[derive(Debug, Default)]
pub struct Found {
    /// Worlds in which a request has just been answered.
    pub worlds: usize,
    /// Devices as they are in some world, each beside the server there.
    pub devices: usize,
}

/// Visits what can come of a world, but of histories that differ in nothing that matters only one.
///
/// What a device does by itself, an edit or hearing an answer, has nothing to do with the server or with
/// other devices. So whatever others do in between can as well be done before, and every history is like
/// one in which a device does all that it does by itself right before it asks: it takes a turn.
pub fn search(world: World, mut visit: impl FnMut(&World, usize)) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::from([of_world(&world)]);
    let mut open = vec![world];
    while let Some(world) = open.pop() {
        found.worlds += 1;
        let mut alike = HashSet::new();
        for device in 0..world.parts.len() {
            // Alike devices can do alike things: one of them does.
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

/// Whether the server has to do with it.
fn asks(action: Action) -> bool {
    matches!(action, Action::Ask | Action::AskForPage)
}

/// Everything that a device can come to by itself. Returns how much that is.
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

/// Visits everything that can come of a world, in every order.
pub fn search_plainly(world: World, mut visit: impl FnMut(&World, usize)) -> usize {
    let exact = |world: &World| {
        let mut hasher = DefaultHasher::new();
        format!("{world:?}").hash(&mut hasher);
        hasher.finish()
    };
    let mut seen = HashSet::from([exact(&world)]);
    let mut open = vec![world];
    while let Some(world) = open.pop() {
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

/// The pairs of a device and the server, as `likeness` has them.
pub fn pairs(pairs: &mut HashSet<u128>) -> impl FnMut(&World, usize) {
    |world, device| {
        pairs.insert(of_pair(world, device));
    }
}
