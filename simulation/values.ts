/**
 * What tasks take and give. A value says who made it (stage, index, attempt, run) and which atoms, numbers that each came in
 * with one input, went into it: so whatever is lost, doubled or swapped on the way shows in the end.
 */
export interface Value {
  /** -1 as index: several tasks, combined. As stage: an input. */
  by: readonly [stage: number, index: number, attempt: number, run: number];
  atoms: readonly number[];
}

export function encodeValue({ by, atoms }: Value): Uint8Array {
  return Buffer.from(`${by.join(',')}:${atoms.join(',')}`, 'latin1');
}

export function decodeValue(bytes: Uint8Array): Value {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const match = /^(-?\d+),(-?\d+),(\d+),(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (!match) throw new Error(`no value: ${JSON.stringify(text)}`);
  const atoms = match[5] === '' ? [] : match[5]!.split(',').map(Number);
  return { by: [Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4])], atoms };
}

export function inputValue(atom: number): Uint8Array {
  return encodeValue({ by: [-1, 0, 0, 0], atoms: [atom] });
}

/** An element of what a task spreads its one atom into. */
export function elementsOf(atom: number): number[] {
  return Array.from({ length: atom % 4 }, (_, at) => atom * 10 + at);
}

export function packValues(values: readonly Uint8Array[]): { lengths: Uint32Array; body: Uint8Array<ArrayBuffer> } {
  const lengths = Uint32Array.from(values, ({ length }) => length);
  const body = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const value of values) {
    body.set(value, at);
    at += value.length;
  }
  return { lengths, body };
}

/** In whatever order. */
export function isSame(a: readonly number[], b: readonly number[]): boolean {
  return [...a].sort((x, y) => x - y).join() === [...b].sort((x, y) => x - y).join();
}
