/**
 * Errors as data. Whatever was thrown becomes a small record that is safe to send, keep and print: bounded in
 * every direction, read without trusting a getter, never code. A record becomes an Error again for whoever
 * awaits a result.
 */
import { inspect } from 'node:util';
import { printableLine } from './printable.ts';

/** An error as data: bounded, safe to log, never code. */
export interface ErrorRecord {
  name: string;
  message: string;
  code?: string;
  stack?: string;
  cause?: ErrorRecord;
  /** Other properties of its own (`status`, `path`, …), as far as JSON has words for them. */
  own?: Record<string, unknown>;
}

const causesMax = 5;
const nameLengthMax = 200;
const messageLengthMax = 8 * 1024;
const stackLengthMax = 16 * 1024;
const lineLengthMax = 1000;
const ownMax = 20;
const ownLengthMax = 2 * 1024;
const ownDepthMax = 8;
/** Told apart from the others, or never to be set by who reads a record. */
const notOwn = new Set(['name', 'message', 'code', 'stack', 'cause', 'errors', '__proto__', 'constructor', 'prototype']);

export function toErrorRecord(thrown: unknown): ErrorRecord {
  return recordOf(thrown, causesMax, new Set());
}

function recordOf(thrown: unknown, causesLeft: number, seen: Set<unknown>): ErrorRecord {
  const message = read(thrown, 'message');
  if (typeof message !== 'string')
    return { name: 'NonError', message: cut(typeof thrown === 'string' ? thrown : inspected(thrown), messageLengthMax) };
  seen.add(thrown);
  const name = read(thrown, 'name');
  const record: ErrorRecord = {
    name: typeof name === 'string' && name !== '' ? cut(name, nameLengthMax) : 'Error',
    message: cut(message, messageLengthMax),
  };
  const code = read(thrown, 'code');
  if (typeof code === 'string' || typeof code === 'number') record.code = cut(String(code), nameLengthMax);
  const stack = read(thrown, 'stack');
  if (typeof stack === 'string') record.stack = cut(stack, stackLengthMax);
  const cause = read(thrown, 'cause') ?? firstOf(read(thrown, 'errors'));
  if (cause !== undefined && cause !== null && causesLeft > 0 && !seen.has(cause)) record.cause = recordOf(cause, causesLeft - 1, seen);
  const own = ownOf(thrown as object);
  if (own) record.own = own;
  return record;
}

/** What has no place in JSON, or takes too much, is left out; nothing of it is run, and no more of it walked than is kept. */
function ownOf(thrown: object): Record<string, unknown> | undefined {
  const own: Record<string, unknown> = {};
  const room = { left: ownLengthMax };
  let count = 0;
  try {
    for (const key of Object.keys(thrown)) {
      if (notOwn.has(key)) continue;
      const { left } = room;
      room.left -= key.length;
      const value = plain(read(thrown, key), room, ownDepthMax);
      if (value === undefined || room.left < 0) {
        room.left = left;
        continue;
      }
      own[key] = value;
      if (++count === ownMax) break;
    }
  } catch {
    // A proxy that does not say what it has.
  }
  return count > 0 ? own : undefined;
}

/** A copy out of JSON's values alone; undefined where there is none. `room.left` falls below 0 where it was too much. */
function plain(value: unknown, room: { left: number }, depth: number): unknown {
  room.left -= typeof value === 'string' ? value.length + 2 : 4;
  if (room.left < 0 || depth < 0) return undefined;
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'object') return undefined;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (let i = 0; i < value.length && room.left >= 0; i++) items.push(plain(value[i], room, depth - 1) ?? null);
    return items;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return undefined;
  const fields: Record<string, unknown> = {};
  for (const key in value) {
    if (room.left < 0) break;
    if (key === '__proto__') continue;
    room.left -= key.length;
    const field = plain(read(value, key), room, depth - 1);
    if (field !== undefined) fields[key] = field;
  }
  return fields;
}

/** Getters and proxies of the user's may throw anything. */
function read(holder: unknown, key: string): unknown {
  if ((typeof holder !== 'object' && typeof holder !== 'function') || holder === null) return undefined;
  try {
    return (holder as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

/** What an AggregateError is about; it has no cause of its own. */
function firstOf(errors: unknown): unknown {
  return Array.isArray(errors) ? read(errors, '0') : undefined;
}

function inspected(thrown: unknown): string {
  try {
    return `${inspect(thrown, { depth: 1, customInspect: false, maxArrayLength: 10, maxStringLength: 200, breakLength: Number.POSITIVE_INFINITY })} was thrown`;
  } catch {
    return `a ${typeof thrown} that cannot be shown was thrown`;
  }
}

function cut(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  // Not through the middle of a character.
  const end = /[\ud800-\udbff]/.test(text.charAt(lengthMax - 2)) ? lengthMax - 2 : lengthMax - 1;
  return `${text.slice(0, end)}…`;
}

/** An Error to throw or to give as a cause. Records made by others may nest deeper than ours: the rest is left off. */
export function errorFromRecord(record: ErrorRecord, causesLeft: number = causesMax): Error {
  const { name, message, code, stack, cause, own = {} } = record;
  const error = makeError(name, message, stack);
  if (code !== undefined) show(error, 'code', code);
  for (const key of Object.keys(own)) if (!notOwn.has(key)) show(error, key, own[key]);
  if (cause && causesLeft > 0) hide(error, 'cause', errorFromRecord(cause, causesLeft - 1));
  return error;
}

const errorClasses = new Map<string, new (message: string) => Error>(
  [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError].map((errorClass) => [errorClass.name, errorClass]),
);

/** An error of the standard class of that name, or an Error that is called so: the name never chooses anything else (X11). */
export function makeError(name: string, message: string, stack: string | undefined): Error {
  return restoreError(new (errorClasses.get(name) ?? Error)(message), name, stack);
}

/** Replaces what this process made up: the stack of the place where the error was built anew. */
export function restoreError(error: Error, name: string, stack: string | undefined): Error {
  if (error.name !== name) hide(error, 'name', name);
  hide(error, 'stack', stack ?? `${name}: ${error.message}`);
  return error;
}

function show(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, enumerable: true, writable: true, configurable: true });
}

function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, enumerable: false, writable: true, configurable: true });
}

/** For logs and terminals: one line, with its causes, that cannot move a cursor or forge another line (X13). */
export function recordText(record: ErrorRecord): string {
  let text = '';
  let at: ErrorRecord | undefined = record;
  for (let level = 0; at && level <= causesMax; level++, at = at.cause) {
    const line = `${at.name}: ${at.message}`;
    text += level === 0 ? line : ` (cause: ${line}`;
    if (level > 0 && (!at.cause || level === causesMax)) text += ')'.repeat(level);
  }
  return printableLine(cut(text, lineLengthMax));
}
