import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Files;
import java.nio.file.Path;

/** HiveMQ Community Edition with its file persistence. Arguments: the port and the folder of its data. */
class HiveMq {
    public static void main(String[] args) throws Exception {
        var folder = Path.of(args[1]);
        for (var name : new String[] {"conf", "data", "extensions"}) Files.createDirectories(folder.resolve(name));
        Files.writeString(folder.resolve("conf/config.xml"), """
            <hivemq>
              <listeners><tcp-listener><port>%s</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>
              <persistence><mode>file</mode></persistence>
              <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
            </hivemq>
            """.formatted(args[0]));
        EmbeddedHiveMQ.builder()
            .withConfigurationFolder(folder.resolve("conf"))
            .withDataFolder(folder.resolve("data"))
            .withExtensionsFolder(folder.resolve("extensions"))
            .build().start().join();
        Thread.currentThread().join();
    }
}
