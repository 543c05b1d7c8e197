/** What is said of a server: its address and its errors' texts, without what a URL has to keep to itself (X03). */
import { ShoalError } from '../../lib/errors.ts';
import { printableLine } from '../../lib/printable.ts';

/** `scheme://HOST:PORT,…/path`. */
export function addressOf(url: URL, otherHosts: readonly string[] = []): string {
  const path = url.pathname === '/' ? '' : url.pathname;
  return `${url.protocol}//${[url.host, ...otherHosts].join(',')}${path}`;
}

export function textWithout(url: URL): (error: unknown) => string {
  const secrets = [url.password, url.username, ...url.searchParams.values()].flatMap((text) => [text, decoded(text)]);
  const hidden = [url.href, ...secrets.filter((text) => text.length >= 3)].sort((a, b) => b.length - a.length);
  return (error) => {
    const text = messageOf(error) || 'it gives no reason';
    return printableLine(hidden.reduce((shown, secret) => shown.replaceAll(secret, '***'), text));
  };
}

/** In our words: SH3103, unless it is one of ours already. */
export function unreachable(error: unknown, url: URL, otherHosts?: readonly string[]): ShoalError {
  if (error instanceof ShoalError) return error;
  const why = textWithout(url)(error);
  return new ShoalError('SH3103', `cannot reach the broker at ${addressOf(url, otherHosts)}`, { why, hint: 'shoal doctor --broker URL' });
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { errors, code } = error as Error & { errors?: unknown; code?: unknown };
  if (error.message !== '') return error.message;
  return Array.isArray(errors) ? errors.map(messageOf).join(', ') : typeof code === 'string' ? code : error.name;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
