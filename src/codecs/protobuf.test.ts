import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSchema, type Order, OrderSchema } from '../../test/fixtures/protobuf/orders_pb.ts';
import { ByteSink } from '../lib/bytes.ts';
import { encodeOne } from './codec.suite.ts';
import { CorruptValueError, UnserialisableError } from './codec.ts';
import { protobufCodec } from './protobuf.ts';

const codec = protobufCodec(OrderSchema, LineSchema);
const order = create(OrderSchema, {
  id: 2n ** 63n - 1n,
  customer: 'Ünal',
  lines: [{ article: 'a', count: -5 }, {}],
  rates: { eur: 1.5, __proto__: 2 } as Record<string, number>,
  signature: Uint8Array.of(1, 2, 255),
  weight: -0,
  payment: { case: 'replaces', value: create(OrderSchema, { id: -1n, payment: { case: 'card', value: 'c' } }) },
});

function nested(levels: number): Order {
  let message = create(OrderSchema);
  for (let i = 1; i < levels; i++) message = create(OrderSchema, { payment: { case: 'replaces', value: message } });
  return message;
}

function refusalOf(value: unknown): UnserialisableError {
  const sink = new ByteSink(8);
  sink.append(Uint8Array.of(1));
  try {
    codec.encode(value, sink);
  } catch (error) {
    expect(error).toBeInstanceOf(UnserialisableError);
    expect(sink.length).toBe(1);
    return error as UnserialisableError;
  }
  throw new Error('it was not refused');
}

describe('protobuf', () => {
  it('brings messages of several schemas back', () => {
    expect(codec.decode(encodeOne(codec, order))).toEqual(order);
    const line = create(LineSchema, { article: 'only' });
    expect(codec.decode(encodeOne(codec, line))).toEqual(line);
    expect(codec.decode(encodeOne(codec, undefined))).toBeUndefined();
  });

  it('writes the name in front', () => {
    expect(Buffer.from(encodeOne(codec, create(LineSchema, { article: 'x' }))).toString('latin1')).toBe('\x13\0shoal.fixtures.Line\n\x01x');
  });

  it('brings any message back', () => {
    const anyOrder = fc.record(
      {
        id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        customer: fc.string({ unit: 'grapheme' }),
        lines: fc.array(fc.record({ article: fc.string(), count: fc.integer() })),
        rates: fc.dictionary(fc.string(), fc.double()),
        signature: fc.uint8Array(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(anyOrder, (fields) => {
        const message = create(OrderSchema, fields as MessageInitShape<typeof OrderSchema>);
        expect(codec.decode(encodeOne(codec, message))).toEqual(message);
      }),
    );
  });

  it('shares no memory with the bytes', () => {
    const bytes = encodeOne(codec, order);
    const back = codec.decode(bytes) as Order;
    bytes.fill(0);
    expect(back.signature).toEqual(Uint8Array.of(1, 2, 255));
  });

  it.each<[string, unknown, RegExp]>([
    ['what is no message', { id: 1 }, /^\$ is an object, and no message of shoal\.fixtures\.Order, shoal\.fixtures\.Line, /],
    ['null', null, /^\$ is null/],
    ['an array of messages', [order], /^\$ is an array/],
    ['a message of another schema', { $typeName: 'constructor' }, /^\$ is a message of constructor, and no message of/],
    ['a message that its schema does not fit', { ...order, id: 'one' }, /^\$ is no valid shoal\.fixtures\.Order \(.*id.*\)/],
    ['a function in it', { ...order, customer: () => 1 }, /^\$\.customer is a function/],
    ['nesting over the limit (T05)', nested(600), /^\$\.payment.* is nested more than 512 levels deep/],
  ])('refuses %s (T01)', (_, value, message) => {
    expect(refusalOf(value).message).toMatch(message);
  });

  it('refuses a message that holds itself', () => {
    const circular = nested(2);
    circular.payment = { case: 'replaces', value: circular };
    expect(refusalOf(circular).message).toMatch(/^\$\.payment\.value is circular \(it is \$ again\)/);
  });

  it('reads whatever depth it wrote', () => {
    const deep = nested(250);
    expect(codec.decode(encodeOne(codec, deep))).toEqual(deep);
  });

  it('refuses names that it was not given (X11), and damaged bytes (X09)', () => {
    const foreign = encodeOne(protobufCodec(LineSchema), create(LineSchema));
    expect(() => protobufCodec(OrderSchema).decode(foreign)).toThrow(/"shoal\.fixtures\.Line", and the codec knows shoal\.fixtures\.Order/);
    expect(() => codec.decode(Uint8Array.of(200, 1))).toThrow(CorruptValueError);
    expect(() => codec.decode(encodeOne(codec, nested(60)), { depthMax: 50, bytesMax: 10_000 })).toThrow(CorruptValueError);
    expect(() => codec.decode(encodeOne(codec, order), { depthMax: 50, bytesMax: 10 })).toThrow(/limit of 10/);
    const bytes = encodeOne(codec, order);
    const tryDecode = (changed: Uint8Array): void => {
      try {
        codec.decode(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptValueError);
      }
    };
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        tryDecode(bytes.subarray(0, at));
        const changed = bytes.slice();
        changed[at] = byte;
        tryDecode(changed);
      }),
      { numRuns: 2000 },
    );
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
