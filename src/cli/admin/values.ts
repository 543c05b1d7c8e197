/**
 * Values of tasks as JSON can say them (docs/reference/cli.md). What JSON has no word for becomes what comes nearest, and
 * always the same kind of thing: a program that reads it need not look at each value's size or content first.
 */

export function plainValue(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return typeof value === 'object' && value !== null ? plainObject(value) : value;
}

function plainObject(value: object): unknown {
  if (Array.isArray(value)) return Array.from(value, plainValue);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof RegExp || value instanceof URL) return String(value);
  if (value instanceof Map) return Array.from(value, ([key, each]) => [plainValue(key), plainValue(each)]);
  if (value instanceof Set) return Array.from(value, plainValue);
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64');
  if (ArrayBuffer.isView(value)) return plainView(value);
  if (value instanceof Error) return plainError(value);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plainValue(each)]));
}

/** Bytes as base64, numbers as numbers. */
function plainView(view: ArrayBufferView): unknown {
  if (view instanceof Uint8Array || view instanceof DataView) {
    return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('base64');
  }
  return Array.from(view as unknown as ArrayLike<unknown>, plainValue);
}

function plainError(error: Error): unknown {
  const { name, message, stack, cause, ...own } = error;
  const rest = Object.entries(own).map(([key, each]) => [key, plainValue(each)]);
  return { ...Object.fromEntries(rest), name, message, ...(cause !== undefined && { cause: plainValue(cause) }) };
}
