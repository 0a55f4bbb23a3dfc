import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './style.css';
import { type CSSVariablesResolver, createTheme, MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { statusOf } from './api/client.ts';
import { Notices } from './parts/notices.tsx';
import { router } from './routes.tsx';

/** The console: providers around the router. */

const theme = createTheme({
  primaryColor: 'cyan',
  primaryShade: 9,
  autoContrast: true,
  respectReducedMotion: true,
  components: {
    CloseButton: { defaultProps: { 'aria-label': 'Close' } },
    // The keyboard scrolls wide tables (WCAG 2.1.1).
    TableScrollContainer: { defaultProps: { scrollAreaProps: { viewportProps: { tabIndex: 0 } } } },
    Loader: { defaultProps: { role: 'status' } },
  },
});

const colors = ['gray', 'red', 'orange', 'yellow', 'green', 'teal', 'blue', 'cyan'];
const darker = (name: string, share: number) =>
  Object.fromEntries(
    colors.map((color) => [
      `--mantine-color-${color}-${name}`,
      `color-mix(in srgb, var(--mantine-color-${color}-9), black ${share}%)`,
    ]),
  );
/** Enough contrast for small text (WCAG 1.4.3): under the pointer, and in light badges. */
const contrast: CSSVariablesResolver = () => ({
  variables: {},
  light: { ...darker('filled-hover', 15), ...darker('light-color', 35) },
  dark: darker('filled-hover', 15),
});

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      refetchInterval: 10_000,
      retry: (failures, error) => (statusOf(error) ?? 500) >= 500 && failures < 3,
    },
    mutations: { retry: false },
  },
});

const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
// react-remove-scroll, which Mantine uses behind dialogs, reads the nonce from here.
Object.assign(globalThis, { __webpack_nonce__: nonce });

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={contrast}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      <Notices />
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
