/** Addresses of servers: `scheme://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/PATH][?NAME=VALUE&…]`. */

export interface ServerUrl {
  /** With the first host alone. */
  url: URL;
  otherHosts: string[];
}

const shape = /^([a-z][a-z0-9+]*:)\/\/((?:[^/?#]*@)?)([^/?#]*)(.*)$/s;
const host = /^(?:\[[\da-fA-F:.]+\]|[^\s:@[\]]+)(?::(.*))?$/s;
const portMax = 65_535;

/** `fault`: what is wrong with it, in words that have no user and no password in them. */
export function parseServerUrl(text: string): ServerUrl | { fault: string } {
  const match = shape.exec(text);
  if (!match) return { fault: 'there is no // behind its first colon' };
  const [, scheme, credentials, list, rest] = match as unknown as [string, string, string, string, string];
  if (rest.includes('@')) return { fault: 'in a user, a password or a path / is %2F, ? is %3F, # is %23 and @ is %40' };
  if (!isEncoded(credentials)) return { fault: 'in a user or a password % is %25' };
  const hosts = list.split(',');
  for (const each of hosts) {
    if (each === '' || each.startsWith(':'))
      return { fault: list === '' || hosts.length === 1 ? 'it names no host' : 'one of its hosts has no name' };
    const port = host.exec(each);
    if (!port) return { fault: `"${each}" is no host` };
    if (port[1] !== undefined && !(/^\d+$/.test(port[1]) && Number(port[1]) > 0 && Number(port[1]) <= portMax)) {
      return { fault: `the port "${port[1]}" is no number from 1 to ${portMax}` };
    }
  }
  const [first, ...otherHosts] = hosts;
  const whole = `${scheme}//${credentials}${first}${rest}`;
  return URL.canParse(whole) ? { url: new URL(whole), otherHosts } : { fault: `"${first}" is no host` };
}

/** Without what belongs to its user alone. */
export function shownUrl(text: string): string {
  return text.replace(/\/\/.*@/s, '//***@');
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
