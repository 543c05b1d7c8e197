/**
 * Names the place of a value inside another the way a person would write it: `$.items[3].onClick`,
 * `$.byName.get("Ann").cause`. The value itself is `$`.
 */
import { types } from 'node:util';

/** A property's name, an element's index, a Map's key (then it may be anything), or one of `places`. */
export type Place = string | number | symbol;

export const places = {
  /** In the object, before its first key. */
  none: Symbol('none'),
  /** A key of a Map itself. */
  mapKey: Symbol('map key'),
} as const;

const pathLengthMax = 300;

/** The path through `containers[from … to-1]` by the key at which each of them is. */
export function pathOf(containers: readonly (object | undefined)[], keys: readonly Place[], from: number, to: number): string {
  let path = '$';
  for (let level = from; level < to; level++) path += stepOf(containers[level], keys[level]);
  if (path.length <= pathLengthMax) return path;
  return `${path.slice(0, pathLengthMax / 2)}…${path.slice(-pathLengthMax / 2)}`;
}

function stepOf(container: object | undefined, key: unknown): string {
  if (key === places.none || container === undefined) return '';
  if (types.isMap(container)) return key === places.mapKey ? '.keys()' : `.get(${shownKey(key)})`;
  if (types.isSet(container)) return `.values()[${String(key)}]`;
  return propertyStep(key);
}

/** `.name`, `[3]` or `["a name"]`. */
export function propertyStep(key: unknown): string {
  if (typeof key === 'number') return `[${key}]`;
  return typeof key === 'string' && /^[A-Za-z_$][\w$]*$/.test(key) && key.length <= 60 ? `.${key}` : `[${shownKey(key)}]`;
}

function shownKey(key: unknown): string {
  if (typeof key === 'string') return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
  return typeof key === 'object' || typeof key === 'function' ? '…' : String(key);
}
