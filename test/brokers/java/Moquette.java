import io.moquette.broker.Server;
import io.moquette.broker.config.MemoryConfig;
import java.util.Properties;

/** Moquette with its H2 store. Arguments: the port and the folder of its data. */
class Moquette {
    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        settings.setProperty("host", "127.0.0.1");
        settings.setProperty("port", args[0]);
        settings.setProperty("allow_anonymous", "true");
        settings.setProperty("persistence_enabled", "true");
        settings.setProperty("data_path", args[1]);
        settings.setProperty("telemetry_enabled", "false");
        var server = new Server();
        server.startServer(new MemoryConfig(settings));
        Runtime.getRuntime().addShutdownHook(new Thread(server::stopServer));
        Thread.currentThread().join();
    }
}
