//! The admin page as HTML.

/// Name and token.
pub(crate) type Driver = (String, String);
/// Id, driver, name, and how many stops are open.
pub(crate) type Round = (String, String, String, i64);
/// Id, driver, round, address, note, and whether it is delivered.
pub(crate) type Stop = (String, String, String, String, String, bool);

pub(crate) fn page(drivers: &[Driver], rounds: &[Round], stops: &[Stop]) -> String {
    let drivers: String = drivers.iter().map(|driver| section(driver, rounds, stops)).collect();
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Deliveries</title>
<style>
  body {{ font: 1rem/1.5 system-ui; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
  form {{ display: inline-flex; gap: .5rem; margin: .2rem 0 }}
</style>
<h1>Deliveries</h1>
{drivers}
<form method="post" action="/drivers">
  <input name="name" placeholder="Name" required> <button>Add a driver</button>
</form>
</html>
"#
    )
}

fn section((name, token): &Driver, rounds: &[Round], stops: &[Stop]) -> String {
    let rounds = rounds.iter().filter(|(_, driver, ..)| driver == name);
    let rounds: String = rounds.map(|round| article(round, stops)).collect();
    let (name, token) = (escape(name), escape(token));
    format!(
        r#"<section>
<h2>{name}</h2>
<p>The token of {name}'s phone: <code>{token}</code></p>
{rounds}
<form method="post" action="/rounds">
  <input type="hidden" name="driver" value="{name}">
  <input name="name" placeholder="Round" required> <button>Add a round</button>
</form>
</section>
"#
    )
}

fn article((id, driver, name, open): &Round, stops: &[Stop]) -> String {
    let stops = stops.iter().filter(|(_, of, round, ..)| of == driver && round == id);
    let stops: String = stops.map(item).collect();
    let (id, driver, name) = (escape(id), escape(driver), escape(name));
    let key = format!(
        r#"<input type="hidden" name="driver" value="{driver}"><input type="hidden" name="id" value="{id}">"#
    );
    format!(
        r#"<article>
<h3>{name}, {open} to go</h3>
<ul>
{stops}</ul>
<form method="post" action="/stops">
  <input type="hidden" name="driver" value="{driver}">
  <input type="hidden" name="round" value="{id}">
  <textarea name="addresses" placeholder="Addresses, a line each" required></textarea>
  <button>Add stops</button>
</form>
<form method="post" action="/rounds/hand-over">
  {key} <input name="to" placeholder="Driver" required> <button>Hand over</button>
</form>
<form method="post" action="/rounds/delete">{key} <button>Delete</button></form>
</article>
"#
    )
}

fn item((id, driver, _, address, note, delivered): &Stop) -> String {
    let state = if *delivered { "delivered" } else { "open" };
    let (id, driver) = (escape(id), escape(driver));
    let (address, note) = (escape(address), escape(note));
    format!(
        r#"<li>{address}: {state}
<form method="post" action="/stops/edit">
  <input type="hidden" name="driver" value="{driver}">
  <input type="hidden" name="id" value="{id}">
  <input name="address" value="{address}" required>
  <input name="note" value="{note}" placeholder="Note">
  <button>Change</button>
</form></li>
"#
    )
}

/// A text as it stands in HTML, also in an attribute between double quotes.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
