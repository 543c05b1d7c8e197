/** Small checks of what comes from the network: each says what is wrong with a value, by its path, or nothing. */

/** Undefined: it is fine. */
export type Check = (value: unknown, path: string) => string | undefined;

export function text(charactersMax: number, pattern?: RegExp): Check {
  return (value, path) => {
    if (typeof value !== 'string') return `${path} is no text`;
    if (value.length > charactersMax) return `${path} has more than ${charactersMax} characters`;
    return pattern && !pattern.test(value) ? `${path} is not what it should be` : undefined;
  };
}

export function whole(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  return (value, path) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `${path} is no whole number from ${least} to ${most}`;
}

export function number(least: number, most: number): Check {
  return (value, path) =>
    typeof value === 'number' && value >= least && value <= most ? undefined : `${path} is no number from ${least} to ${most}`;
}

export const bool: Check = (value, path) => (typeof value === 'boolean' ? undefined : `${path} is neither true nor false`);

export function oneOf(...values: readonly string[]): Check {
  return (value, path) => (values.includes(value as string) ? undefined : `${path} is none of ${values.join(', ')}`);
}

export function maybe(check: Check): Check {
  return (value, path) => (value === undefined ? undefined : check(value, path));
}

export function list(check: Check, countMax: number): Check {
  return (value, path) => {
    if (!Array.isArray(value)) return `${path} is no list`;
    if (value.length > countMax) return `${path} has more than ${countMax} elements`;
    for (let i = 0; i < value.length; i++) {
      const wrong = check(value[i], `${path}[${i}]`);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

/** Names that would reach what every object inherits. */
const unsafeNames = new Set(['__proto__', 'constructor', 'prototype']);

export function record(check: Check, countMax: number): Check {
  return (value, path) => {
    if (!isObject(value)) return `${path} is no object`;
    const names = Object.keys(value);
    if (names.length > countMax) return `${path} has more than ${countMax} names`;
    for (const name of names) {
      if (name.length > 256 || unsafeNames.has(name)) return `${path} has a name that is not allowed`;
      const wrong = check(value[name], `${path}.${name}`);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

/** Exactly these fields, some of which may be `maybe`. */
export function fields(checks: Record<string, Check>): Check {
  const names = Object.keys(checks);
  const each = Object.values(checks);
  return (value, path) => {
    if (!isObject(value)) return `${path} is no object`;
    const prefix = path === '' ? '' : `${path}.`;
    let known = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const field = value[name];
      if (field !== undefined || name in value) known++;
      const wrong = each[i]!(field, prefix + name);
      if (wrong !== undefined) return wrong;
    }
    return Object.keys(value).length > known ? `${path === '' ? 'it' : path} has an unknown field` : undefined;
  };
}

export function all(...checks: readonly Check[]): Check {
  return (value, path) => {
    for (const check of checks) {
      const wrong = check(value, path);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

export const column: Check = (value, path) => (value instanceof Uint32Array ? undefined : `${path} is no column`);

/** Pairs [from, count, …]. */
export const ascendingRanges: Check = (value, path) => {
  if (!(value instanceof Uint32Array) || value.length % 2 !== 0) return `${path} is no column of ranges`;
  for (let r = 0, end = 0; r < value.length; r += 2) {
    if (value[r]! < end || value[r + 1] === 0) return `${path} is out of order`;
    end = value[r]! + value[r + 1]!;
  }
  return undefined;
};

export const chunks: Check = (value, path) =>
  Array.isArray(value) && value.every((chunk) => chunk instanceof Uint8Array) ? undefined : `${path} is no payload`;

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
