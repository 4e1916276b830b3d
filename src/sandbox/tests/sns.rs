use super::*;

fn publish(
    world: &World,
    topic: &str,
) -> aws_sdk_sns::operation::publish::builders::PublishFluentBuilder {
    world
        .sns()
        .publish()
        .topic_arn(topic)
        .message("scaled & done")
}

#[tokio::test(start_paused = true)]
async fn published_messages_can_be_read() {
    let world = World::new();
    let topic = world.region.create_topic("scaling");
    assert_eq!(topic, "arn:aws:sns:eu-west-1:123456789012:scaling");
    assert!(world.region.published("scaling").is_empty());
    let first = publish(&world, &topic).subject("orders: 2 -> 4");
    let id = first.send().await.unwrap().message_id;
    assert_eq!(id.as_deref(), Some("00000000-0000-4000-8000-000000000001"));
    world.pass(1);
    publish(&world, &topic).send().await.unwrap();
    let messages = world.region.published("scaling");
    let subjects: Vec<_> = messages.iter().map(|it| it.subject.as_deref()).collect();
    assert_eq!(subjects, [Some("orders: 2 -> 4"), None]);
    assert_eq!(messages[1].message, "scaled & done");
    assert_eq!(messages[1].at, world.now());
    let call = &world.sandbox.request_log()[0];
    assert_eq!((call.service, call.operation.as_str()), ("sns", "Publish"));
    assert_eq!(call.resource.as_deref(), Some(topic.as_str()));
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_missing_elsewhere_or_denied_get_nothing() {
    let world = World::new();
    let topic = world.region.create_topic("scaling");
    let long = "x".repeat(262_145);
    let cases = [
        (
            publish(&world, "arn:aws:sns:eu-west-1:123456789012:none"),
            "NotFound: Topic does not exist",
        ),
        (
            publish(&world, "arn:aws:sns:us-east-1:123456789012:scaling"),
            "InvalidParameter: Invalid parameter: TopicArn",
        ),
        (
            publish(&world, &topic).message(long),
            "InvalidParameter: Invalid parameter: Message",
        ),
        (
            publish(&world, &topic).subject("x".repeat(100)),
            "InvalidParameter: Invalid parameter: Subject",
        ),
    ];
    for (call, expected) in cases {
        assert_eq!(outcome(call.send().await), expected);
    }
    world.sandbox.deny("sns:Publish");
    let denied = outcome(publish(&world, &topic).send().await);
    assert_eq!(
        denied,
        "AuthorizationError: User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform: \
         sns:Publish on resource: arn:aws:sns:eu-west-1:123456789012:scaling because no identity-based \
         policy allows the sns:Publish action"
    );
    assert!(world.region.published("scaling").is_empty());
    let other = outcome(world.sns().list_topics().send().await);
    assert_eq!(
        other,
        "InvalidAction: the sandbox does not support sns:ListTopics"
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_tells_its_arn_and_a_missing_one_is_not_found() {
    let world = World::new();
    let topic = world.region.create_topic("scaling");
    let read = |arn: &str| world.sns().get_topic_attributes().topic_arn(arn).send();
    let attributes = read(&topic).await.unwrap().attributes.unwrap();
    assert_eq!(attributes["TopicArn"], topic);
    let missing = outcome(read(&format!("{topic}-2")).await);
    assert_eq!(missing, "NotFound: Topic does not exist");
}
