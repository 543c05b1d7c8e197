/** The codecs that everybody has, by name: enough to read most results without having the code that made them. */
import type { Codec } from './codec.ts';
import { jsonCodec } from './json.ts';
import { msgpackCodec } from './msgpack.ts';

const codecs: ReadonlyMap<unknown, Codec> = new Map<unknown, Codec>([
  [undefined, msgpackCodec],
  ['msgpack', msgpackCodec],
  ['json', jsonCodec],
]);

/** Without a name it is msgpack; undefined where the name is that of a codec that a program brings itself. */
export function codecNamed(name: unknown): Codec | undefined {
  return codecs.get(name);
}
