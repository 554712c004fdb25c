// The functions that a PAC script may call: Netscape's, and Microsoft's with IPv6 (their names end in "Ex").
//
// This is one function, called once per context with the few things that a script cannot do itself:
// `native.resolve(host)` (addresses with ";" between them), `native.own()` (the same), `native.inNetwork(address, range)`,
// `native.sort(list)` (null where it cannot), `native.alert(text)`, and a clock that stands still where
// `native.fixedNow` (milliseconds since 1970) and `native.fixedOffset` (minutes east of UTC) are numbers.
(function (native) {
  "use strict";

  const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
  const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
  const EngineDate = Date;
  const { fixedNow, fixedOffset } = native;

  // Host names.

  function isPlainHostName(host) {
    return !/[.:]/.test(String(host));
  }

  // A suffix of characters and not of labels: "notokta.com" is in "okta.com".
  function dnsDomainIs(host, domain) {
    return String(host).endsWith(String(domain));
  }

  function localHostOrDomainIs(host, fullName) {
    return String(host) === String(fullName) || String(fullName).startsWith(host + ".");
  }

  function dnsDomainLevels(host) {
    return String(host).split(".").length - 1;
  }

  // "*" is any characters, dots and slashes too; "?" is one. Everything else is itself in Netscape's description, but a
  // regular expression in every browser, whose function replaces ".", "*" and "?" and no more, so that scripts rely on
  // "(*.example|*.test)". Without such characters there is no backtracking beyond the last star, and no pattern takes
  // longer than text times pattern; with them, the time limit holds.
  function shExpMatch(text, pattern) {
    text = String(text);
    pattern = String(pattern);
    if (/[\\^$+()[\]{}|]/.test(pattern)) {
      const source = pattern.replace(/\./g, "\\.").replace(/\*/g, ".*").replace(/\?/g, ".");
      return new RegExp(`^${source}$`).test(text);
    }
    let [at, next, star, resume] = [0, 0, -1, 0];
    while (at < text.length) {
      if (pattern[next] === "*") {
        star = next;
        resume = at;
        next += 1;
      } else if (next < pattern.length && (pattern[next] === "?" || pattern[next] === text[at])) {
        at += 1;
        next += 1;
      } else if (star >= 0) {
        resume += 1;
        at = resume;
        next = star + 1;
      } else {
        return false;
      }
    }
    while (pattern[next] === "*") {
      next += 1;
    }
    return next === pattern.length;
  }

  // Addresses.

  function addresses(list) {
    return list === "" ? [] : list.split(";");
  }

  function firstIpv4(list) {
    return addresses(list).find((address) => !address.includes(":"));
  }

  function dnsResolve(host) {
    return firstIpv4(native.resolve(String(host))) ?? null;
  }

  function isResolvable(host) {
    return dnsResolve(host) !== null;
  }

  function myIpAddress() {
    const own = native.own();
    return firstIpv4(own) ?? addresses(own)[0] ?? "127.0.0.1";
  }

  function convert_addr(address) {
    const bytes = String(address).split(".");
    return ((bytes[0] & 0xff) << 24) | ((bytes[1] & 0xff) << 16) | ((bytes[2] & 0xff) << 8) | (bytes[3] & 0xff);
  }

  function isIpv4(text) {
    const literal = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
    return literal !== null && literal.slice(1).every((byte) => byte <= 255);
  }

  function isInNet(host, network, mask) {
    if (!isIpv4(network) || !isIpv4(mask)) {
      return false;
    }
    const address = isIpv4(host) ? String(host) : dnsResolve(host);
    const bits = convert_addr(mask);
    return address !== null && (convert_addr(address) & bits) === (convert_addr(network) & bits);
  }

  function dnsResolveEx(host) {
    return native.resolve(String(host));
  }

  function isResolvableEx(host) {
    return dnsResolveEx(host) !== "";
  }

  function myIpAddressEx() {
    return native.own();
  }

  function isInNetEx(address, range) {
    return native.inNetwork(String(address), String(range));
  }

  function sortIpAddressList(list) {
    return native.sort(String(list)) ?? false;
  }

  function getClientVersion() {
    return "1.0";
  }

  // Time. The wall clock is a date whose UTC fields are those of the zone that was asked for.

  function wallClock(gmt) {
    const now = fixedNow ?? EngineDate.now();
    const offset = gmt ? 0 : (fixedOffset ?? -new EngineDate(now).getTimezoneOffset());
    return new EngineDate(now + offset * 60000);
  }

  function withoutZone(values) {
    const gmt = values.length > 1 && values[values.length - 1] === "GMT";
    return [wallClock(gmt), gmt ? values.slice(0, -1) : values];
  }

  // Both ends count; where the first lies after the last, the range goes round the end of week, month, year or day.
  function isWithin(first, last, now) {
    return first <= last ? first <= now && now <= last : now <= last || first <= now;
  }

  function weekdayRange(...values) {
    const [now, days] = withoutZone(values);
    const [first, last] = [DAYS.indexOf(days[0]), DAYS.indexOf(days.length > 1 ? days[1] : days[0])];
    return first >= 0 && last >= 0 && isWithin(first, last, now.getUTCDay());
  }

  const SHAPES = ["d", "m", "y", "dm", "my", "dmy"];

  function dateRange(...values) {
    const [now, given] = withoutZone(values);
    const parts = given.map((value) => {
      const number = Number.parseInt(value, 10);
      if (Number.isNaN(number)) {
        return ["m", MONTHS.indexOf(value)];
      }
      return [number < 32 ? "d" : "y", number];
    });
    const shape = parts.map(([kind]) => kind).join("");
    const half = shape.slice(0, shape.length / 2);
    const unit = half + half === shape ? half : shape;
    if (!SHAPES.includes(unit) || parts.some(([, number]) => number < 0)) {
      return false;
    }
    // One number in the order of the calendar, made of those parts alone that were given.
    const order = (pairs) => pairs.reduce((sum, [kind, number]) => sum + number * { d: 1, m: 32, y: 400 }[kind], 0);
    const today = { d: now.getUTCDate(), m: now.getUTCMonth(), y: now.getUTCFullYear() };
    const first = parts.slice(0, unit.length);
    return isWithin(order(first), order(parts.slice(-unit.length)), order(first.map(([kind]) => [kind, today[kind]])));
  }

  function timeRange(...values) {
    const [now, given] = withoutZone(values);
    const [hour, minute, second] = [now.getUTCHours(), now.getUTCMinutes(), now.getUTCSeconds()];
    const seconds = (h, m, s) => (Number(h) * 60 + Number(m)) * 60 + Number(s);
    const time = seconds(hour, minute, second);
    switch (given.length) {
      case 1:
        return hour === Number(given[0]);
      // As in every browser, hours alone do not go round midnight, and the last one counts whole.
      case 2:
        return Number(given[0]) <= hour && hour <= Number(given[1]);
      case 4:
        return isWithin(seconds(given[0], given[1], 0), seconds(given[2], given[3], 59), time);
      case 6:
        return isWithin(seconds(...given.slice(0, 3)), seconds(...given.slice(3)), time);
      case 0:
        return false;
      default:
        throw new TypeError("timeRange takes 1, 2, 4 or 6 numbers, and \"GMT\"");
    }
  }

  function alert(text) {
    native.alert(String(text));
  }

  // A script that reads the clock itself sees the same time as the functions do.
  function FixedDate(...values) {
    if (new.target === undefined) {
      return new EngineDate(fixedNow).toString();
    }
    return Reflect.construct(EngineDate, values.length === 0 ? [fixedNow] : values, new.target);
  }
  if (fixedNow !== null) {
    FixedDate.prototype = EngineDate.prototype;
    FixedDate.prototype.constructor = FixedDate;
    FixedDate.now = () => fixedNow;
    FixedDate.parse = EngineDate.parse;
    FixedDate.UTC = EngineDate.UTC;
    globalThis.Date = FixedDate;
  }

  Object.assign(globalThis, {
    alert,
    convert_addr,
    dateRange,
    dnsDomainIs,
    dnsDomainLevels,
    dnsResolve,
    dnsResolveEx,
    getClientVersion,
    isInNet,
    isInNetEx,
    isPlainHostName,
    isResolvable,
    isResolvableEx,
    localHostOrDomainIs,
    myIpAddress,
    myIpAddressEx,
    shExpMatch,
    sortIpAddressList,
    timeRange,
    weekdayRange,
  });
})
