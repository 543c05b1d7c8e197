/**
 * Protobuf messages, by the schemas that protobuf-es generated. A value is one message of one of the schemas, or
 * undefined, what a task without a result returns:
 *
 * ```
 * u16 length of the type's name (little endian), the name (ASCII), the message in Protobuf's binary form; undefined is zero bytes
 * ```
 *
 * Client and workers give the same schemas; the name picks among them and nothing else. Whatever is no message of
 * them is refused, as are messages that their schema does not fit, cycles, and nesting past 512 levels.
 */
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { ShoalError } from '../lib/errors.ts';
import { type Codec, CorruptValueError, type DecodeLimits, UnserialisableError } from './codec.ts';
import { valueBytesMax } from './msgpack-format.ts';
import { asBuffer } from './text.ts';
import { Trail, valueDepthMax } from './trail.ts';

const { fromBinary, isMessage, toBinary } = await loadLibrary();
const nameLengthBytes = 2;
const trail = new Trail();

/** For `task(…, { codec: protobufCodec(OrderSchema, InvoiceSchema) })`. */
export function protobufCodec(...schemas: readonly DescMessage[]): Codec {
  const byName = new Map<string, DescMessage>();
  for (const schema of schemas) byName.set(schema.typeName, schema);
  const known = [...byName.keys()].join(', ') || 'none';

  return {
    name: 'protobuf',
    encode(value, into) {
      if (value === undefined) return;
      const schema = isMessage(value) ? byName.get(value.$typeName) : undefined;
      if (!schema) throw new UnserialisableError('$', `${kindOf(value)}, and no message of ${known}`, 'give its schema to protobufCodec()');
      const message = toBytes(schema, value);
      const { typeName } = schema;
      into.reserve(nameLengthBytes + typeName.length);
      into.length = into.buffer.writeUInt16LE(typeName.length, into.length);
      into.length += into.buffer.write(typeName, into.length, 'latin1');
      into.append(message);
    },
    decode(bytes, { depthMax, bytesMax }: DecodeLimits = { depthMax: valueDepthMax, bytesMax: valueBytesMax }) {
      if (bytes.length === 0) return undefined;
      if (bytes.length > bytesMax) throw new CorruptValueError('protobuf', `${bytes.length} bytes are more than the limit of ${bytesMax}`);
      const start = nameLengthBytes + (bytes[0]! | (bytes[1]! << 8));
      if (start > bytes.length) throw new CorruptValueError('protobuf', 'it ends too early');
      const typeName = asBuffer(bytes).toString('latin1', nameLengthBytes, start);
      const schema = byName.get(typeName);
      if (!schema) throw new CorruptValueError('protobuf', `it is a message of ${JSON.stringify(typeName)}, and the codec knows ${known}`);
      try {
        // A copy, because the message's `bytes` fields are views of what it was read from.
        return fromBinary(schema, new Uint8Array(bytes.subarray(start)), { recursionLimit: depthMax });
      } catch (cause) {
        throw new CorruptValueError('protobuf', (cause as Error).message, cause);
      }
    },
  };
}

function toBytes(schema: DescMessage, value: unknown): Uint8Array {
  const outerBase = trail.begin();
  try {
    walk(value);
  } catch (error) {
    throw trail.explain(error);
  } finally {
    trail.end(outerBase);
  }
  try {
    return toBinary(schema, value as MessageShape<DescMessage>);
  } catch (error) {
    throw new UnserialisableError('$', `no valid ${schema.typeName} (${(error as Error).message})`);
  }
}

/** The library writes any depth and any cycle until the stack is full, and refuses to read it back. */
function walk(value: unknown): void {
  if (typeof value === 'function') throw trail.refusal('a function');
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  const level = trail.enter(value);
  const isArray = Array.isArray(value);
  for (const key of Object.keys(value)) {
    trail.keys[level] = isArray ? Number(key) : key;
    walk((value as Record<string, unknown>)[key]);
  }
  trail.leave();
}

function kindOf(value: unknown): string {
  if (isMessage(value)) return `a message of ${value.$typeName}`;
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

async function loadLibrary(): Promise<typeof import('@bufbuild/protobuf')> {
  try {
    return await import('@bufbuild/protobuf');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new ShoalError('SH1206', 'the protobuf codec needs @bufbuild/protobuf', { hint: 'npm install @bufbuild/protobuf', cause });
  }
}
