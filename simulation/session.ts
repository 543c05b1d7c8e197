/** A client's session over the simulated network: what `src/client/remote` and `src/api/client-line` are over a real one. */
import type { FromClient, Refusal, Session, ToClient } from '../src/core/messages.ts';
import { concatBytes } from '../src/lib/bytes.ts';
import type { Outside } from '../src/lib/outside.ts';
import { decodeMessage, encodeMessage } from '../src/wire/frame.ts';
import { Line, type LineEnd, type Network } from './network.ts';
import { reached } from './probes.ts';
import type { SimNode, World } from './world.ts';

/** What a coordinator's port offers to whoever dials. */
export interface Port {
  readonly node: SimNode;
  /** Undefined while it does not lead. */
  accept(): { session: Session; term: number } | undefined;
  onAsked(message: FromClient): void;
  onTold(term: number, message: ToClient, about: FromClient | undefined): void;
}

export class SimSession implements Session {
  readonly resets = true;
  onMessage: (message: ToClient) => void = () => undefined;
  onClose: (error: Refusal) => void = () => undefined;
  onReset: () => void = () => undefined;
  private readonly network: Network;
  private readonly node: SimNode;
  private readonly outside: Outside;
  private readonly ports: () => readonly Port[];
  private line: Line | undefined;
  private isOver = false;
  private isFirst = true;
  private readonly life: number;

  constructor(network: Network, node: SimNode, outside: Outside, ports: () => readonly Port[]) {
    this.network = network;
    this.node = node;
    this.outside = outside;
    this.ports = ports;
    this.life = node.life;
    this.dial();
  }

  send(message: FromClient): void {
    this.line?.send(1, concatBytes(encodeMessage(message)));
  }

  close(): void {
    this.isOver = true;
    this.line?.break();
    this.line = undefined;
  }

  private later(): void {
    this.outside.after(50 + this.outside.randomBelow(700), () => this.dial());
  }

  private dial(): void {
    if (this.isOver || this.line) return;
    const ports = this.ports();
    const port = ports[this.outside.randomBelow(ports.length)];
    if (!port || this.network.isCut(this.node, port.node) || this.network.isCut(port.node, this.node)) return this.later();
    const { world } = this.network;
    const { life } = port.node;
    let isAnswered = false;
    world.after(this.network.plan.linkMs, port.node, () => {
      const accepted = port.node.life === life ? port.accept() : undefined;
      if (!accepted) return;
      isAnswered = true;
      const line: Line = new Line(
        this.network,
        this.node,
        this.end(() => line),
        port.node,
        serve(accepted, port, world, this.node.name, () => line),
      );
      world.after(this.network.plan.linkMs, this.node, () => {
        const isGone = this.isOver || this.node.life !== this.life;
        if (isGone || this.line || !line.isOpen) return line.break();
        this.line = line;
        if (!this.isFirst) reached('a client comes back on another line');
        this.isFirst = false;
        // What was said before the first line is open was lost, too.
        this.onReset();
      });
    });
    this.outside.after(20 * this.network.plan.linkMs + 500, () => {
      if (!this.line && !isAnswered) this.dial();
      else if (!this.line) this.later();
    });
  }

  private end(line: () => Line): LineEnd {
    return {
      onMessage: (bytes) => {
        if (this.line === line()) this.onMessage(decodeMessage<ToClient>(bytes));
      },
      onClose: () => {
        if (this.line !== line()) return;
        this.line = undefined;
        if (!this.isOver) this.later();
      },
    };
  }
}

/** For people. */
function wordOf(message: ToClient): string {
  if (message.kind === 'refusal') return `refusal ${message.error.code}`;
  if (message.kind === 'readEnd' && message.error) return `readEnd ${message.error.code}`;
  return message.kind;
}

function serve({ session, term }: { session: Session; term: number }, port: Port, world: World, name: string, line: () => Line): LineEnd {
  const asked = new Map<number, FromClient>();
  session.onMessage = (message) => {
    const about = 'request' in message ? asked.get(message.request) : undefined;
    port.onTold(term, message, about);
    if (world.onStep) world.log(`${port.node.name} → ${name}: ${wordOf(message)}`);
    line().send(0, concatBytes(encodeMessage(message)));
  };
  session.onClose = () => line().break();
  return {
    onMessage: (bytes) => {
      const message = decodeMessage<FromClient>(bytes);
      if (world.onStep) world.log(`${name} → ${port.node.name}: ${message.kind}`);
      if ('request' in message) asked.set(message.request, message);
      port.onAsked(message);
      session.send(message);
    },
    onClose: () => session.close(),
  };
}
