import { describe, expect, test } from 'vitest';
import { TargetRules, targetProblems } from './targets.ts';

const reach = (entries: string, address: string, host = 'broker.example'): boolean => {
  const rules = new TargetRules(entries === '' ? [] : entries.split(' '));
  try {
    return rules.allowed(host, [{ address, family: address.includes(':') ? 6 : 4 }]).length === 1;
  } catch {
    return false;
  }
};

describe('without a setting', () => {
  test.each([
    '127.0.0.1',
    '::1',
    '10.0.0.5',
    '192.168.1.1',
    '8.8.8.8',
    '2606:4700::1',
    'fd00::1',
    '::ffff:10.0.0.1',
  ])('%s may be reached', (address) => {
    expect(reach('', address)).toBe(true);
  });

  test.each([
    '169.254.169.254',
    '169.254.0.1',
    'fe80::1',
    'fe80::1%eth0',
    'FE80::1',
    'febf:ffff::1',
    'fd00:ec2::254',
    'FD00:0EC2:0000:0:0:0:0:0254',
    'fd20:ce::254',
    'fd00:c1::a9fe:a9fe',
    'fd00:42::42',
    '100.100.100.200',
    '168.63.129.16',
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '0:0:0:0:0:0:0:0',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    'ff02::1',
    'ff02::1%lo',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '0:0:0:0:0:ffff:a9fe:a9fe',
    '::ffff:0.0.0.0',
    '::ffff:0:169.254.169.254',
    '::169.254.169.254',
    '64:ff9b::169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
    '2001:0:1234:5678:0:ffff:5601:5601',
    '2001:db8::5efe:a9fe:a9fe',
    '2001:db8::200:5efe:a9fe:a9fe',
    'not an address',
    '',
  ])('%s may not', (address) => {
    expect(reach('', address)).toBe(false);
  });
});

describe('entries', () => {
  test.each([
    // allowed, and with that nothing else
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['10.0.0.0/8', '64:ff9b::10.1.2.3', false],
    ['10.0.0.0/8 64:ff9b::/96', '64:ff9b::10.1.2.3', true],
    ['10.0.0.5', '10.0.0.5', true],
    ['10.0.0.5', '10.0.0.6', false],
    ['2001:db8::/32', '2001:db8::1', true],
    ['2001:DB8:0::/32', '2001:0db8:0000::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    // denied
    ['!127.0.0.0/8', '127.0.0.1', false],
    ['!127.0.0.0/8', '::ffff:127.0.0.1', false],
    ['!127.0.0.0/8', '64:ff9b::7f00:1', false],
    ['!127.0.0.0/8', '2002:7f00:1::', false],
    ['!127.0.0.0/8', '10.0.0.1', true],
    ['!::1', '::1', false],
    ['!::1', '0:0:0:0:0:0:0:1', false],
    ['10.0.0.0/8 !10.6.0.0/16', '10.6.0.1', false],
    ['!10.6.0.0/16 10.0.0.0/8', '10.6.0.1', false],
    ['10.6.0.1 !10.0.0.0/8', '10.6.0.1', false],
    // what is closed by default opens only to an entry inside of it
    ['169.254.0.0/16', '169.254.7.7', true],
    ['169.254.7.7', '169.254.7.7', true],
    ['169.254.7.7', '169.254.7.8', false],
    ['169.254.0.0/16', '169.254.169.254', false],
    ['169.254.169.254', '169.254.169.254', true],
    ['169.254.0.0/16 169.254.169.254', '169.254.169.254', true],
    ['0.0.0.0/0 ::/0', '169.254.169.254', false],
    ['0.0.0.0/0 ::/0', '::ffff:a9fe:a9fe', false],
    ['0.0.0.0/0 ::/0', '8.8.8.8', true],
    ['*', '169.254.169.254', false],
    ['*', '8.8.8.8', true],
    ['* !10.0.0.0/8', '10.0.0.1', false],
    ['fe80::/10', 'fe80::1%eth0', true],
  ])('%s: %s is %s', (entries, address, expected) => {
    expect(reach(entries, address)).toBe(expected);
  });

  test.each([
    ['broker.example', 'broker.example', '10.0.0.1', true],
    ['broker.example', 'BROKER.example.', '10.0.0.1', true],
    ['Broker.Example.', 'broker.example', '10.0.0.1', true],
    ['broker.example', 'other.example', '10.0.0.1', false],
    ['broker.example', 'x.broker.example', '10.0.0.1', false],
    ['*.example', 'broker.example', '10.0.0.1', true],
    ['*.example', 'example', '10.0.0.1', false],
    ['*.example', 'badexample', '10.0.0.1', false],
    ['broker.example', 'broker.example', '169.254.169.254', false],
    ['broker.example !10.0.0.0/8', 'broker.example', '10.0.0.1', false],
    ['!broker.example', 'broker.example.', '10.0.0.1', false],
    ['!broker.example', 'other.example', '10.0.0.1', true],
    ['10.0.0.0/8 !*.example', 'a.example', '10.0.0.1', false],
  ])('%s: the host %s at %s is %s', (entries, host, address, expected) => {
    expect(reach(entries, address, host)).toBe(expected);
  });

  test('leave those addresses of a host that may be reached', () => {
    const rules = new TargetRules(['!10.0.0.0/8']);
    const addresses = ['10.0.0.1', '192.168.0.1', '::ffff:10.0.0.2'].map((address) => ({
      address,
      family: 4,
    }));
    expect(rules.allowed('b.example', addresses)).toEqual([{ address: '192.168.0.1', family: 4 }]);
  });

  test('that allow nothing of a host say which host, address and setting', () => {
    const rules = new TargetRules([]);
    expect(() => rules.allowed('meta.example', [{ address: '169.254.169.254', family: 4 }])).toThrow(
      expect.objectContaining({
        code: 'target_not_allowed',
        passing: false,
        message: 'The host meta.example (169.254.169.254) is not allowed as a target of tests and jobs',
        hint: expect.stringContaining('PENSTOCK_TARGETS'),
        facts: { host: 'meta.example', addresses: ['169.254.169.254'], setting: 'PENSTOCK_TARGETS' },
      }),
    );
  });

  test.each([
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'broker.example/8',
    '2130706433',
    '0x7f.1',
    '0x7f000001',
    '127.1',
    '1.2.3.4.5',
    '[::1]',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
    'broker.example:1883',
    'mqtt://broker.example',
    'a..b',
    '-a',
    '*a.example',
    'a.*.example',
    '!',
    '!!a',
    'a b',
    'bröker.example',
  ])('refuse %s', (entry) => {
    expect(targetProblems([entry])).toEqual([expect.stringContaining(JSON.stringify(entry))]);
    expect(() => new TargetRules([entry])).toThrow('PENSTOCK_TARGETS');
  });
});
