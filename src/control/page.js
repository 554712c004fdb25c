// The switches of the page at `/`, and its list of connections as they come. Without this script the page shows the same
// as it stood when it was loaded. Every text goes into the page as text, never as markup.
"use strict";
(() => {
  const SHOWN = 100;
  const find = (id) => document.getElementById(id);
  let token = sessionStorage.getItem("middlebox-token") || "";
  let records = new Map();
  let etag = null;

  const say = (text, bad) => {
    find("said").textContent = text;
    find("said").className = bad ? "bad" : "";
  };

  const make = (name, text, attributes) => {
    const element = document.createElement(name);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    return element;
  };

  const row = (cells, kind) => {
    const line = make("tr", null, kind ? { class: kind } : {});
    for (const cell of cells) {
      const box = make("td");
      box.append(cell instanceof Node ? cell : document.createTextNode(cell ?? ""));
      line.append(box);
    }
    return line;
  };

  const headers = (more) => (token ? { Authorization: `Bearer ${token}`, ...more } : { ...more });

  class Refused extends Error {
    constructor(status, detail) {
      super(detail);
      this.status = status;
    }
  }

  const ask = async (method, path, body, match) => {
    const sent = headers({ Accept: "application/json" });
    if (body !== undefined) sent["Content-Type"] = "application/json";
    if (match) sent["If-Match"] = match;
    const response = await fetch(path, {
      method,
      headers: sent,
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const data = await response.json();
    if (!response.ok) throw new Refused(response.status, data.detail || response.statusText);
    return { data, etag: response.headers.get("ETag") };
  };

  // A change is made to the policy that is shown, and to no other.
  const change = async (what, method, path, body) => {
    try {
      const { data } = await ask(method, `${path}?on-change=drain`, body, etag);
      const ended = data.affected ? `, ${data.affected} open connections begin anew` : "";
      say(`${what} (epoch ${data.epoch}${ended})`);
    } catch (error) {
      say(error.status === 412 ? "the policy had changed meanwhile: look again, then repeat it" : error.message, true);
    }
    await loadPolicy();
  };

  const rulePath = (id) => `/api/v1/policy/rules/${encodeURIComponent(id)}`;

  const bypass = (host) =>
    change(`bypass ${host}`, "POST", "/api/v1/policy/rules", { pattern: host, action: "bypass" });

  const loadPolicy = async () => {
    const { data, etag: tag } = await ask("GET", "/api/v1/policy");
    etag = tag;
    find("policy").textContent =
      `Epoch ${data.epoch}, dialect ${data.dialect}; what no rule matches: ${data.default}`;
    const body = find("rules");
    body.replaceChildren();
    for (const rule of data.rules) {
      const toggle = make("button", rule.enabled ? "on" : "off", {
        role: "switch",
        "aria-checked": rule.enabled,
        "aria-label": `rule ${rule.pattern}`,
      });
      const to = !rule.enabled;
      toggle.onclick = () => change(`${to ? "on" : "off"}: ${rule.pattern}`, "PATCH", rulePath(rule.id), { enabled: to });
      const away = make("button", "remove", { "aria-label": `remove ${rule.pattern}` });
      away.onclick = () => change(`removed: ${rule.pattern}`, "DELETE", rulePath(rule.id));
      const from = rule.line ? `${rule.source}, line ${rule.line}` : rule.source;
      const cells = [toggle, rule.id, make("code", rule.pattern), rule.action, from, `${rule.hits}`, rule.note, away];
      body.append(row(cells, rule.enabled ? null : "off"));
    }
    find("no-rules").hidden = data.rules.length > 0;
  };

  const hostOf = (record) =>
    (record.hello && record.hello.sni) || (record.destination || "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

  const showConnections = () => {
    const body = find("connections");
    body.replaceChildren();
    const latest = [...records.values()].sort((a, b) => b.id - a.id);
    records = new Map(latest.slice(0, SHOWN).map((record) => [record.id, record]));
    for (const record of records.values()) {
      const decision = record.decision;
      const outcome = record.outcome || "open";
      const cause = record.diagnosis ? ` (${record.diagnosis.cause}, ${record.diagnosis.confidence})` : "";
      const host = hostOf(record);
      const mend = make("span");
      if (outcome === "refused" && host) {
        const button = make("button", "bypass", { "aria-label": `bypass ${host}` });
        button.onclick = () => bypass(host);
        mend.append(button);
      }
      const told = make("span", `${outcome}${cause}`, { class: outcome });
      const id = make("a", record.id, { href: `/api/v1/connections/${record.id}` });
      const rule = decision ? `${decision.action}, ${decision.rule ? decision.rule : "default"}` : "";
      body.append(row([id, make("code", host), rule, told, decision ? decision.why : "", mend]));
    }
    find("no-connections").hidden = records.size > 0;
  };

  const hear = (text) => {
    let kind = "";
    const data = [];
    for (const line of text.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      if (line.startsWith("data: ")) data.push(line.slice(6));
    }
    if (data.length === 0) return;
    const value = JSON.parse(data.join("\n"));
    if (kind === "policy") loadPolicy().catch((error) => say(error.message, true));
    if (["decided", "closed", "revised"].includes(kind)) {
      // An event that was overtaken by a later one about the same connection says nothing new.
      const known = records.get(value.id);
      if (kind === "decided" && known && known.outcome) return;
      records.set(value.id, value);
      requestAnimationFrame(showConnections);
    }
  };

  const pause = (time) => new Promise((done) => setTimeout(done, time));

  const needToken = () => {
    find("token").hidden = false;
    find("dashboard").hidden = true;
  };

  const follow = async () => {
    for (;;) {
      try {
        // The stream first, so that nothing falls between it and the list.
        const response = await fetch("/api/v1/events", { headers: headers({ Accept: "text/event-stream" }), cache: "no-store" });
        if (response.status === 401) return needToken();
        if (!response.ok) throw new Error(response.statusText);
        await loadPolicy();
        const { data } = await ask("GET", `/api/v1/connections?limit=${SHOWN}`);
        records = new Map(data.records.map((record) => [record.id, record]));
        showConnections();
        find("live").className = "on";
        find("live").textContent = "live";
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          text += value;
          for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) hear(text.slice(0, end));
        }
      } catch (error) {
        if (error.status === 401) return needToken();
      }
      find("live").className = "";
      find("live").textContent = "the middlebox does not answer";
      await pause(2000);
    }
  };

  const begin = () => {
    find("token").hidden = true;
    find("dashboard").hidden = false;
    follow();
  };

  find("token").onsubmit = (event) => {
    event.preventDefault();
    token = new FormData(find("token")).get("token");
    sessionStorage.setItem("middlebox-token", token);
    begin();
  };
  find("add").onsubmit = (event) => {
    event.preventDefault();
    const form = new FormData(find("add"));
    const rule = { pattern: form.get("pattern"), action: form.get("action") };
    change(`${rule.action} ${rule.pattern}`, "POST", "/api/v1/policy/rules", rule).then(() => find("add").reset());
  };
  find("add").hidden = false;
  begin();
})();
