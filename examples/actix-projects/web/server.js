// What only the server can decide: who is a member. It needs a network, unlike all the rest.

import { fetch } from "./airplane.js";

/** The routes of `src/teams.rs`, for a person. @param {string} person */
export function teamsOf(person) {
  const ask = async (method, path, body) => {
    const headers = { Authorization: `Bearer ${person}`, "Content-Type": "application/json" };
    const request = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(30000) };
    const answer = await fetch(path, request).catch(() => {
      throw new Error("There is no network. Tasks can be changed without one, but members cannot.");
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(messageOf(text) ?? "The server failed: try again later.");
    return text && JSON.parse(text);
  };
  return {
    found: (name) => ask("POST", "/projects", { name }),
    invite: (project, guest, role) => ask("PUT", `/projects/${project}/invitations/${guest}`, { role }),
    withdraw: (project, guest) => ask("DELETE", `/projects/${project}/invitations/${guest}`),
    accept: (project) => ask("POST", `/projects/${project}/members`),
    changeRole: (project, member, role) => ask("PATCH", `/projects/${project}/members/${member}`, { role }),
    remove: (project, member) => ask("DELETE", `/projects/${project}/members/${member}`),
  };
}

function messageOf(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return undefined;
  }
}
