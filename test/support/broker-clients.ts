/** The clients connected to a mosquitto, from the events in its log. */
export class BrokerClients {
  /** Clients that replaced a connected one, and clients that connected although it was forbidden. */
  readonly offences: string[] = [];
  readonly #connected = new Set<string>();
  readonly #forbidden = new Set<string>();
  readonly #lately: string[] = [];
  #rest = '';

  /** For `logged` of the broker. */
  readonly read = (text: string): void => {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      this.#lately.push(line);
      this.#readLine(line);
    }
    this.#lately.splice(0, this.#lately.length - 1_000);
  };

  /** The connected clients whose id holds `part`. */
  with(part: string): string[] {
    return [...this.#connected].filter((id) => id.includes(part));
  }

  /** Forbids further connections of clients whose id contains `part`. */
  forbid(part: string): void {
    this.#forbidden.add(part);
  }

  allow(part: string): void {
    this.#forbidden.delete(part);
  }

  /** Recent log lines about clients whose id contains `part`. */
  history(part: string): string[] {
    return this.#lately.filter((line) => line.includes(part));
  }

  #readLine(line: string): void {
    const [, came] = /New client connected from \S+ as (\S+) \(/.exec(line) ?? [];
    if (came !== undefined) {
      this.#connected.add(came);
      if ([...this.#forbidden].some((part) => came.includes(part))) this.offences.push(line);
      return;
    }
    const [, id] = /\b[Cc]lient (\S+?):? /.exec(line) ?? [];
    if (id === undefined || !this.#connected.has(id)) return;
    if (!line.includes('already connected')) this.#connected.delete(id);
    // A probe client takes over its own id to find out whether two addresses belong to one broker.
    else if (!id.includes('_check_')) this.offences.push(line);
  }
}
