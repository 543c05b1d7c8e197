/**
 * The network: a directed link between each two nodes, which delays, loses, repeats, reorders, clogs and is cut, one way
 * or both; and over it the two carriers that Shoal knows. A broker moves single messages and may do any of that to them.
 * A client's line is ordered and whole like TCP: it delays, or it breaks, and then what was on the way is lost.
 */
import { type Address, type Broker, BrokerUnavailableError, type Listener } from '../src/brokers/broker.ts';
import { concatBytes } from '../src/lib/bytes.ts';
import { Dice } from './chance.ts';
import type { Faults, Gate } from './faults.ts';
import type { Plan } from './plan.ts';
import { reached } from './probes.ts';
import { frameKind, lineKind, type SimNode, type World } from './world.ts';

interface Direction {
  dice: Dice;
  meanMs: number;
  cutUntilMs: number;
  clogUntilMs: number;
  /** Nothing overtakes what was sent before, unless this link reorders. */
  lastMs: number;
  isOrdered: boolean;
  drop: Gate;
  /** Lists of what is held are said once, unless somebody asks again. */
  dropList: Gate;
  duplicate: Gate;
  reorder: Gate;
  garble: Gate;
}

interface Ear {
  node: SimNode;
  life: number;
  queue: Uint8Array[];
  isBusy: boolean;
  isClosed: boolean;
  handle: (messages: readonly Uint8Array[]) => void | Promise<void>;
}

const saidMax = 8;
const rememberedMs = 3_000;
const messageBytesMax = 1_000_000;

export class Network {
  readonly world: World;
  readonly plan: Plan;
  readonly faults: Faults;
  isCalm = false;
  brokerDownUntilMs = 0;
  private readonly directions = new Map<string, Direction>();
  private readonly ears = new Map<Address, Ear[]>();
  /** What each node has said last, for repeating it much later. */
  private readonly said = new Map<SimNode, { address: Address; message: Uint8Array; atMs: number }[]>();
  private readonly tells: { node: SimNode; life: number; tell: (state: 'up' | 'down') => void }[] = [];
  readonly lines = new Set<Line>();
  onSend: (from: SimNode, address: Address, message: Uint8Array) => void = () => undefined;
  /** One word for a message. */
  nameOf: (message: Uint8Array) => string = () => 'a message';

  constructor(world: World, faults: Faults) {
    this.world = world;
    this.faults = faults;
    this.plan = faults.plan;
  }

  direction(from: SimNode, to: SimNode): Direction {
    const key = `${from.name}>${to.name}`;
    let known = this.directions.get(key);
    if (!known) {
      const dice = new Dice(this.plan.seed, `link/${key}`);
      const { faults } = this;
      known = {
        dice,
        meanMs: this.plan.linkMs * dice.between(0.5, 2),
        cutUntilMs: 0,
        clogUntilMs: 0,
        lastMs: 0,
        isOrdered: !faults.gate('reorder', `all of ${key}`, 1).strikes(),
        drop: faults.gate('drop', key, 0.3),
        dropList: faults.gate('drop', `${key} list`, 0.6),
        duplicate: faults.gate('duplicate', key, 0.4),
        reorder: faults.gate('reorder', key, 0.1),
        garble: faults.gate('garble', key, 0.05),
      };
      this.directions.set(key, known);
    }
    return known;
  }

  isCut(from: SimNode, to: SimNode): boolean {
    return this.direction(from, to).cutUntilMs > this.world.nowMs;
  }

  calm(): void {
    this.isCalm = true;
    this.brokerDownUntilMs = 0;
    for (const direction of this.directions.values()) {
      direction.cutUntilMs = 0;
      direction.clogUntilMs = 0;
      direction.lastMs = 0;
      direction.meanMs = Math.min(direction.meanMs, 4);
    }
  }

  /** How long something takes from here to there. */
  private delayMs(from: SimNode, to: SimNode, direction: Direction): number {
    const slowness = this.isCalm ? 1 : Math.max(from.slowness, to.slowness);
    const clogMs = Math.max(0, direction.clogUntilMs - this.world.nowMs);
    return clogMs + (0.05 + direction.dice.exponential(direction.meanMs)) * slowness;
  }

  // ---- brokers ----

  broker(node: SimNode): Broker {
    const { life } = node;
    return {
      maxMessageBytes: messageBytesMax,
      listen: async (address, handle) => this.listen(node, life, address, handle),
      send: (address, chunks) => {
        if (node.life !== life) return Promise.resolve();
        return this.send(node, address, concatBytes(chunks).slice());
      },
      state: 'up',
      onState: (tell) => void this.tells.push({ node, life, tell }),
      close: () => Promise.resolve(),
    };
  }

  private listen(node: SimNode, life: number, address: Address, handle: Ear['handle']): Listener {
    const ear: Ear = { node, life, queue: [], isBusy: false, isClosed: false, handle };
    const others = (this.ears.get(address) ?? []).filter((other) => other.life === other.node.life && !other.isClosed);
    this.ears.set(address, [...others, ear]);
    return {
      close: () => {
        ear.isClosed = true;
        return Promise.resolve();
      },
    };
  }

  private send(from: SimNode, address: Address, message: Uint8Array): Promise<void> {
    const { world } = this;
    this.onSend(from, address, message);
    this.note(from, address, message);
    const isDown = this.brokerDownUntilMs > world.nowMs;
    const log = (fate: string): void => world.onStep && world.log(`${from.name} → ${address}: ${this.nameOf(message)}${fate}`);
    const ears = this.ears.get(address) ?? [];
    for (const ear of ears) {
      const direction = this.direction(from, ear.node);
      const { dice } = direction;
      // What was refused may arrive all the same.
      if (isDown && !dice.chance(0.2)) {
        log(', refused');
        continue;
      }
      if (direction.cutUntilMs > world.nowMs) {
        log(', cut off');
        continue;
      }
      const isList = this.nameOf(message) === 'held';
      if (!this.isCalm && (direction.drop.strikes() || (isList && direction.dropList.strikes()))) {
        log(', lost');
        continue;
      }
      const again = this.isCalm ? undefined : direction.duplicate.stroke();
      const copies = again ? 2 + again.below(4) : 1;
      log(copies === 1 ? '' : `, ${copies} times`);
      for (let copy = 0; copy < copies; copy++) this.deliver(from, ear, direction, message.slice());
    }
    return isDown ? Promise.reject(new BrokerUnavailableError('the simulated broker is down')) : Promise.resolve();
  }

  private note(from: SimNode, address: Address, message: Uint8Array): void {
    if (this.isCalm || this.plan.rates.duplicate === 0) return;
    const last = this.said.get(from) ?? [];
    last.push({ address, message, atMs: this.world.nowMs });
    if (last.length > saidMax) last.shift();
    this.said.set(from, last);
  }

  /** A broker may hand out once more what it has no acknowledgement for, when the sender has long had a next life (H9). */
  repeatLate(from: SimNode): void {
    const gate = this.faults.gate('duplicate', `${from.name}.${from.life}`, 0.5);
    for (const { address, message, atMs } of this.said.get(from) ?? []) {
      // A broker forgets sooner than workers are forgotten.
      if (this.world.nowMs - atMs > rememberedMs) continue;
      const stroke = gate.stroke();
      if (!stroke) continue;
      this.world.after(stroke.between(50, 3_000), undefined, () => {
        reached('a word of an earlier life is repeated');
        for (const ear of this.ears.get(address) ?? []) this.deliver(from, ear, this.direction(from, ear.node), message.slice());
      });
    }
    this.said.delete(from);
  }

  private deliver(from: SimNode, ear: Ear, direction: Direction, message: Uint8Array): void {
    const { world } = this;
    let atMs = world.nowMs + this.delayMs(from, ear.node, direction);
    const late = this.isCalm ? undefined : direction.reorder.stroke();
    if (late) atMs += late.exponential(500);
    else if (direction.isOrdered) direction.lastMs = atMs = Math.max(atMs, direction.lastMs + 0.001);
    // TCP has checksums of its own, so only what no decoder may take for a message is made of it.
    const flip = this.isCalm ? undefined : direction.garble.stroke();
    if (flip) message[flip.below(4)]! ^= 1 << flip.below(8);
    world.at(
      atMs,
      ear.node,
      () => {
        if (ear.isClosed || ear.life !== ear.node.life) return;
        ear.queue.push(message);
        this.hear(ear);
      },
      frameKind,
    );
  }

  /** One handle at a time; what comes meanwhile goes together. */
  private hear(ear: Ear): void {
    while (!ear.isBusy && ear.queue.length > 0 && !ear.isClosed) {
      const answer = ear.handle(ear.queue.splice(0));
      if (!answer) continue;
      reached('a full inbox holds the broker back');
      ear.isBusy = true;
      void answer.then(() => {
        ear.isBusy = false;
        this.hear(ear);
      });
    }
  }

  brokerDown(ms: number): void {
    const { world } = this;
    this.brokerDownUntilMs = world.nowMs + ms;
    this.tellState('down');
    world.after(ms, undefined, () => this.tellState('up'));
  }

  private tellState(state: 'up' | 'down'): void {
    for (const { node, life, tell } of this.tells) {
      if (node.life === life && node.isUp) this.world.after(0, node, () => tell(state));
    }
  }

  /** What listens on a node, for `connectionsClosed`. */
  addressesOf(node: SimNode): Address[] {
    return [...this.ears].filter(([, ears]) => ears.some((ear) => ear.node === node && !ear.isClosed)).map(([address]) => address);
  }
}

/** One end of a line: what it hears, and that it is over. */
export interface LineEnd {
  onMessage: (bytes: Uint8Array) => void;
  onClose: () => void;
}

export class Line {
  private readonly network: Network;
  private readonly ends: { node: SimNode; end: LineEnd; lastMs: number }[];
  isOpen = true;

  constructor(network: Network, client: SimNode, clientEnd: LineEnd, server: SimNode, serverEnd: LineEnd) {
    this.network = network;
    this.ends = [
      { node: client, end: clientEnd, lastMs: 0 },
      { node: server, end: serverEnd, lastMs: 0 },
    ];
    network.lines.add(this);
  }

  touches(node: SimNode): boolean {
    return this.ends.some((end) => end.node === node);
  }

  /** `to`: 0 the client, 1 the server. */
  send(to: 0 | 1, bytes: Uint8Array): void {
    if (!this.isOpen) return;
    const { world } = this.network;
    const from = this.ends[1 - to]!;
    const target = this.ends[to]!;
    const direction = this.network.direction(from.node, target.node);
    if (this.network.isCut(from.node, target.node)) {
      // Nothing comes through, and some time later somebody notices.
      this.isOpen = false;
      world.after(direction.dice.between(500, 4_000), undefined, () => this.tellClosed());
      return;
    }
    const delayMs = Math.max(0, direction.clogUntilMs - world.nowMs) + 0.05 + direction.dice.exponential(direction.meanMs);
    target.lastMs = Math.max(target.lastMs + 0.001, world.nowMs + delayMs);
    world.at(
      target.lastMs,
      target.node,
      () => {
        if (this.isOpen) target.end.onMessage(bytes);
      },
      lineKind,
    );
  }

  /** Both ends learn of it, each in its own time. */
  break(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.tellClosed();
  }

  private tellClosed(): void {
    this.network.lines.delete(this);
    for (const { node, end } of this.ends) {
      const { dice, meanMs } = this.network.direction(node, node);
      this.network.world.after(dice.exponential(meanMs * 4), node, () => end.onClose());
    }
  }
}
