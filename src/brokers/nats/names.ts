/** What things are called on the server, and how a server's refusal is said. */
import { ShoalError } from '../../lib/errors.ts';

export function isLasting(inbox: string): boolean {
  return inbox === 'hello' || inbox.startsWith('coordinator.');
}

export function subjectsOf(cluster: string): string {
  return `shoal.${cluster}`;
}

export function streamName(cluster: string): string {
  return `SHOAL_${cluster}`;
}

/** What a subject's token may hold; `%` is one of it. */
export function token(text: string): string {
  if (text === '') return '%';
  return encodeURIComponent(text).replace(/[*.!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function refusal(error: unknown): Error {
  if (error instanceof ShoalError) return error;
  if (error instanceof Error && error.name === 'RequestError' && error.cause instanceof Error) return refusal(error.cause);
  const name = error instanceof Error ? error.name : '';
  const text = error instanceof Error ? error.message : String(error);
  if (name === 'JetStreamNotEnabled' || /no responders/i.test(text)) {
    return new ShoalError('SH3115', 'this NATS server has no JetStream, or it is off for this account', {
      why: text,
      hint: 'nats-server -js, or jetstream {} in its configuration; in one with accounts, jetstream: enabled in the account',
    });
  }
  if (name === 'AuthorizationError' || name === 'UserAuthenticationExpiredError') {
    return new ShoalError('SH3116', 'NATS does not let this user in', {
      hint: 'the address is nats://USER:PASSWORD@HOST or nats://TOKEN@HOST, each part percent-encoded',
    });
  }
  if (name === 'PermissionViolationError') {
    return new ShoalError('SH3117', 'the NATS user lacks a right', { why: text, hint: 'docs/how-to/broker-nats.md lists the rights' });
  }
  if (name === 'JetStreamApiError') {
    return new ShoalError('SH3118', "the cluster's stream can't be used", { why: text, hint: 'docs/how-to/broker-nats.md' });
  }
  return error instanceof Error ? error : new Error(text);
}
